//! The plot of a confusion matrix.

use malaria_metrics::ConfusionMatrix;
use plotters::style::RGBColor;

use super::figure::{Align, BLUE, Figure, INK, Look, MUTED, Plot, WHITE};
use super::panel::{AXIS_LABEL, HEADING};
use crate::error::{Error, Result};

const MARGIN: f64 = 48.0;
const GAP: f64 = 4.0;
const TOP: f64 = 190.0;
/// Maximum width of a row heading; longer names are cut.
const MAX_NAME_WIDTH: f64 = 300.0;
const MIN_WIDTH: f64 = 720.0;
const MIN_NAME_SIZE: f64 = 14.0;
const NAME: Look = Look::plain(20.0, INK);

/// Plots a confusion matrix, true classes as rows. Each cell shows its count and its share of the row; a larger share is darker.
///
/// `classes` has one name per class.
///
/// # Errors
/// If the number of names is not the number of classes.
pub fn confusion_plot<S: AsRef<str>>(matrix: &ConfusionMatrix, classes: &[S], title: &str) -> Result<Plot> {
    if classes.len() != matrix.classes() {
        return Err(Error::ClassNames { expected: matrix.classes(), found: classes.len() });
    }
    Ok(Plot(figure(matrix, &Vec::from_iter(classes.iter().map(AsRef::as_ref)), title)))
}

fn figure(matrix: &ConfusionMatrix, names: &[&str], title: &str) -> Figure {
    let count = names.len() as f64;
    // Two classes get large cells, many get small ones.
    let (cell_width, cell_height) = ((560.0 / count).clamp(104.0, 280.0), (400.0 / count).clamp(72.0, 200.0));
    let (row_look, rows) = fit_names(names, MAX_NAME_WIDTH);
    let (column_look, columns) = fit_names(names, cell_width - 12.0);
    let widest_row = rows.iter().map(|name| row_look.width(name)).fold(HEADING.width("True class"), f64::max);
    let left = MARGIN + widest_row + 20.0;
    let right = left + count * cell_width;
    let width = (right + MARGIN).max(MIN_WIDTH);
    let mut figure = Figure::new(width.ceil() as u32, (TOP + count * cell_height + MARGIN).ceil() as u32);

    figure.title((MARGIN, 66.0), title, width - 2.0 * MARGIN);
    figure.text((left, 124.0), "Predicted class", HEADING, Align::Left);
    figure.text((left - 20.0, TOP - 18.0), "True class", HEADING, Align::Right);
    for (column, name) in columns.into_iter().enumerate() {
        let middle = left + (column as f64 + 0.5) * cell_width;
        figure.text((middle, TOP - 18.0), name, column_look, Align::Centre);
    }
    let supports = matrix.true_counts();
    for (row, (counts, name)) in matrix.rows().zip(rows).enumerate() {
        let top = TOP + row as f64 * cell_height;
        figure.text((left - 20.0, top + cell_height / 2.0 + 7.0), name, row_look, Align::Right);
        for (column, &count) in counts.iter().enumerate() {
            let share = (supports[row] > 0).then(|| count as f64 / supports[row] as f64);
            cell(
                &mut figure,
                (left + column as f64 * cell_width, top),
                (cell_width, cell_height),
                count,
                share,
            );
        }
    }
    figure
}

/// The names cut to `width`, all in the same size.
fn fit_names(names: &[&str], width: f64) -> (Look, Vec<String>) {
    let size = names.iter().map(|name| NAME.fit(name, width, MIN_NAME_SIZE).0.size).fold(NAME.size, f64::min);
    let look = Look { size, ..NAME };
    (look, names.iter().map(|name| look.fit(name, width, size).1).collect())
}

fn cell(
    figure: &mut Figure,
    (left, top): (f64, f64),
    (width, height): (f64, f64),
    count: u64,
    share: Option<f64>,
) {
    let shade = share.unwrap_or(0.0);
    let inside = (left + width - GAP, top + height - GAP);
    figure.rectangle((left, top), inside, tint(shade));

    let (ink, faint) = match shade {
        dark if dark > 0.8 => (WHITE, WHITE),
        middling if middling > 0.15 => (INK, INK),
        _ => (INK, MUTED),
    };
    let middle = left + (width - GAP) / 2.0;
    let centre = top + (height - GAP) / 2.0;
    let size = (height / 4.5).min(36.0);
    let (look, text) = Look::bold(size, ink).fit(&count.to_string(), width - 16.0, 1.0);
    figure.text((middle, centre + 0.1 * size), text, look, Align::Centre);
    let share = share.map_or_else(|| "n/a".to_owned(), |share| format!("{:.1} %", share * 100.0));
    let look = Look::plain(AXIS_LABEL.size.min(size * 0.85), faint);
    figure.text((middle, centre + 0.1 * size + 1.5 * look.size), share, look, Align::Centre);
}

/// From nearly white at 0 to blue at 1.
fn tint(share: f64) -> RGBColor {
    let mix = |end: u8| (f64::from(245 - end.min(245)) * (1.0 - share) + f64::from(end)).round() as u8;
    RGBColor(mix(BLUE.0), mix(BLUE.1), mix(BLUE.2))
}
