//! A run as one page of HTML that needs nothing but itself.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder, RgbImage};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::error::{Error, Result};
use crate::plots::Plot;

/// Contents of a table that are no longer than this, in bytes, stay on one line: a number and its unit.
const SHORT: usize = 12;

const STYLE: &str = include_str!("page.css");

/// A page: a title, what is to be known before any figure is read, and sections.
#[derive(Debug, Clone)]
pub struct Page {
    /// The heading.
    pub title: String,
    /// Lines below it: who was tested, and how.
    pub summary: Vec<String>,
    /// What must not be missed, in a frame of its own.
    pub notice: String,
    /// What the page holds, in order.
    pub sections: Vec<Section>,
}

/// A part of a page, which links can lead to.
#[derive(Debug, Clone)]
pub struct Section {
    /// Its name in links, unique on the page: letters, digits and `-`.
    pub id: &'static str,
    /// Its heading.
    pub heading: String,
    /// What it holds, in order.
    pub blocks: Vec<Block>,
}

/// A piece of a section.
#[derive(Debug, Clone)]
pub enum Block {
    /// A paragraph.
    Text(String),
    /// Figures in large letters.
    Tiles(Vec<Tile>),
    /// A table with its column headings.
    Table {
        /// Headings, one a column.
        head: Vec<String>,
        /// Rows, as long as the head.
        rows: Vec<Vec<String>>,
    },
    /// A figure, and what it shows in words, for who cannot see it.
    Plot {
        /// The figure.
        plot: Plot,
        /// The words.
        alt: String,
    },
    /// Small pictures with words below them.
    Gallery(Vec<Picture>),
    /// Text as it stands, such as a command.
    Verbatim(String),
}

/// A figure in large letters.
#[derive(Debug, Clone)]
pub struct Tile {
    /// Its name in `metrics.json`.
    pub name: String,
    /// What it is called.
    pub label: String,
    /// The figure as it is shown.
    pub value: String,
    /// The figure itself; `None` where it is undefined.
    pub exact: Option<f64>,
    /// Its interval, or another short remark.
    pub note: String,
}

/// Small pictures side by side, and what is to be said of them.
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
    /// [`Error::Write`] when the file cannot be written, the old one then stays; [`Error::Draw`] and [`Error::Encode`] for a figure
    /// or picture that cannot be drawn.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        let text = self.html()?;
        malaria_files::write(path, text.as_bytes())
            .map_err(|source| Error::Write { path: path.to_owned(), source })
    }

    /// The page as text.
    ///
    /// # Errors
    /// [`Error::Draw`] and [`Error::Encode`] for a figure or picture that cannot be drawn.
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
                    // An empty icon, so that browsers do not ask for one.
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
    /// Whether two of its kind fit side by side on a wide screen: those of one figure that is no wider than high.
    fn is_half(&self) -> bool {
        matches!(&self.blocks[..], [Block::Plot { plot, .. }] if plot.0.width <= plot.0.height * 4 / 3)
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
                        div data-figure=(name) data-value=[exact] {
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

/// The text with its percent signs bound to their numbers, so that no line ends between the two.
fn unbroken(text: &str) -> String {
    text.replace(" %", "\u{a0}%")
}

/// A picture as an address that holds it.
fn data_uri(picture: &RgbImage) -> Result<String> {
    let mut bytes = Vec::new();
    PngEncoder::new(&mut bytes)
        .write_image(picture, picture.width(), picture.height(), ExtendedColorType::Rgb8)
        .map_err(|source| Error::Encode { source })?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(bytes)))
}
