//! A page of HTML in one file: text, tables, plots and pictures.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::RgbImage;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::error::Result;
use crate::plots::{Plot, encode_png};

/// Table cells of at most this many bytes, such as a number with its unit, stay on one line.
const SHORT: usize = 12;
/// Tables of at most this many columns fit half the width of a page.
const NARROW: usize = 5;

const STYLE: &str = include_str!("page.css");

/// A page: title, summary, notice and sections.
#[derive(Debug, Clone)]
pub struct Page {
    /// The heading.
    pub title: String,
    /// Lines below the title.
    pub summary: Vec<String>,
    /// A warning in a separate frame.
    pub notice: String,
    /// The sections in order.
    pub sections: Vec<Section>,
}

/// A section of a page.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its id for links, unique on the page: letters, digits and `-`.
    pub id: &'static str,
    /// Its heading.
    pub heading: String,
    /// Its blocks in order.
    pub blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Debug, Clone)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// Metrics in large letters.
    Tiles(Vec<Tile>),
    /// A table with its column headings.
    Table {
        /// Headings, one per column.
        head: Vec<String>,
        /// Rows, as long as the head.
        rows: Vec<Vec<String>>,
    },
    /// A plot.
    Plot {
        /// The plot.
        plot: Plot,
        /// A description for readers who cannot see it.
        alt: String,
    },
    /// Small pictures with captions.
    Gallery(Vec<Picture>),
    /// Preformatted text, such as a command.
    Verbatim(String),
}

/// A metric in large letters.
#[derive(Debug, Clone)]
pub struct Tile {
    /// Its key in `metrics.json`.
    pub name: String,
    /// Its name on the page.
    pub label: String,
    /// The formatted value.
    pub value: String,
    /// The exact value; `None` where it is undefined.
    pub exact: Option<f64>,
    /// Its interval or another short remark.
    pub note: String,
}

/// Small pictures side by side with a caption.
#[derive(Debug, Clone)]
pub struct Picture {
    /// The pictures.
    pub images: Vec<RgbImage>,
    /// Lines below them.
    pub caption: Vec<String>,
}

impl Page {
    /// Writes the page to `path`.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) when the file cannot be written (an old file then stays); those of
    /// [`html`](Self::html).
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = self.html()?;
        Ok(malaria_files::write(path, text.as_bytes()).map_err(malaria_files::Error::io("write", path))?)
    }

    /// The page as text.
    ///
    /// # Errors
    /// [`Error`](crate::Error) for a plot or picture that cannot be rendered.
    pub fn html(&self) -> Result<String> {
        let sections = self.sections.iter().map(Section::html).collect::<Result<Vec<_>>>()?;
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) }
                    // An empty icon, so that browsers do not request one.
                    link rel="icon" href="data:,";
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    header {
                        h1 { (self.title) }
                        @for line in &self.summary { p { (line) } }
                        p.notice role="note" { (self.notice) }
                    }
                    nav aria-label="Contents" {
                        @for section in &self.sections { a href={ "#" (section.id) } { (section.heading) } }
                    }
                    main { @for section in &sections { (section) } }
                }
            }
        };
        Ok(page.into_string())
    }
}

impl Section {
    /// Whether two such sections fit side by side on a wide screen: those with a single plot about as wide as high, and those of
    /// text and narrow tables.
    fn is_half(&self) -> bool {
        self.blocks.iter().all(|block| match block {
            Block::Plot { plot, .. } => self.blocks.len() == 1 && plot.0.width <= plot.0.height * 4 / 3,
            Block::Table { head, .. } => head.len() <= NARROW,
            Block::Text(_) => true,
            _ => false,
        })
    }

    fn html(&self) -> Result<Markup> {
        let blocks = self.blocks.iter().map(Block::html).collect::<Result<Vec<_>>>()?;
        Ok(html! {
            section id=(self.id) .half[self.is_half()] {
                h2 { (self.heading) }
                @for block in &blocks { (block) }
            }
        })
    }
}

impl Block {
    fn html(&self) -> Result<Markup> {
        Ok(match self {
            Self::Text(text) => html! { p { (unbroken(text)) } },
            Self::Tiles(tiles) => html! {
                dl.tiles {
                    @for Tile { name, label, value, exact, note } in tiles {
                        div data-metric=(name) data-value=[exact] {
                            dt { (label) }
                            dd.value { (unbroken(value)) }
                            dd.note { (unbroken(note)) }
                        }
                    }
                }
            },
            Self::Table { head, rows } => html! {
                div.scroll {
                    table {
                        thead { tr { @for heading in head { th scope="col" { (heading) } } } }
                        tbody { @for row in rows { tr { @for cell in row { td.short[cell.len() <= SHORT] { (unbroken(cell)) } } } } }
                    }
                }
            },
            Self::Plot { plot, alt } => {
                let svg = plot.svg()?;
                html! { figure.plot role="img" aria-label=(alt) { (PreEscaped(svg)) } }
            }
            Self::Gallery(pictures) => {
                let pictures = pictures.iter().map(Picture::html).collect::<Result<Vec<_>>>()?;
                html! { div.gallery { @for picture in &pictures { (picture) } } }
            }
            Self::Verbatim(text) => html! { pre { (text) } },
        })
    }
}

impl Picture {
    fn html(&self) -> Result<Markup> {
        let alt = self.caption.join(", ");
        let sources = self.images.iter().map(data_uri).collect::<Result<Vec<_>>>()?;
        Ok(html! {
            figure {
                div { @for source in &sources { img src=(source) alt=(alt) width="96" height="96"; } }
                figcaption { @for line in &self.caption { span { (line) } } }
            }
        })
    }
}

/// `text` with non-breaking spaces before percent signs.
fn unbroken(text: &str) -> String {
    text.replace(" %", "\u{a0}%")
}

/// A picture as a `data:` URI.
fn data_uri(picture: &RgbImage) -> Result<String> {
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(encode_png(picture)?)))
}
