//! A run as figures to look at: files of their own, and one page that holds them all.

mod figures;
mod patients;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use malaria_dataset::Protocol;
use malaria_metrics::{
    Interval, Summary, calibration_curve, decimal, expected_calibration_error, one_vs_rest, pr_curve,
    roc_curve,
};
use malaria_report::{
    Block, EpochPoint, Page, Picture, Plot, Section, calibration_plot, confusion_plot, history_plot,
    patients_plot, pr_plot, roc_plot,
};
use malaria_train::EpochRecord;

pub(crate) use self::figures::{at_threshold, headlines, positive_share};
use crate::{
    Assessment, DataSummary, Error, Result, Threshold, assessment::CALIBRATION_BINS, threshold::Said,
};

const NOTICE: &str = "Research software, not a medical device. Nothing on this page may be used to diagnose or treat \
                      anybody.";

/// What a figure under this protocol may be taken for.
pub fn protocol_note(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Random => {
            "random split: cells of one patient are on both sides, so the figures are optimistic"
        }
        Protocol::Patient => "patient split: no patient is on two sides",
        Protocol::Given => "split as given by the folder's training, validation and testing trees",
        Protocol::All => "learned from every cell: none was left to judge by",
    }
}

/// Everything that a page shows.
pub(crate) struct Report<'a> {
    pub(crate) title: String,
    /// Who was judged, and how: lines below the title.
    pub(crate) summary: Vec<String>,
    pub(crate) said: Said<'a>,
    pub(crate) figures: &'a Summary,
    pub(crate) assessment: &'a Assessment,
    pub(crate) threshold: Option<Threshold>,
    /// Whether each fold's cells were called at a threshold, and its patients by rates, of the other folds.
    pub(crate) cross_validated: bool,
    /// Losses and accuracies by epoch; empty where none are known.
    pub(crate) history: Vec<EpochPoint>,
    /// Whose these are, where that is not plain.
    pub(crate) history_of: Option<String>,
    /// The most confident mistakes, the worst first.
    pub(crate) mistakes: Vec<Picture>,
    /// What augmentation makes of some cells; empty where nothing was trained.
    pub(crate) augmentation: Vec<Picture>,
    /// Sections of the caller's own, before the last.
    pub(crate) more: Vec<Section>,
    /// Name and value: what the run was made by.
    pub(crate) made: Vec<[String; 2]>,
    pub(crate) command: String,
}

/// A figure with its file name and what it shows in words.
struct Named {
    name: &'static str,
    heading: &'static str,
    plot: Plot,
    alt: String,
}

impl Report<'_> {
    /// Writes `report.html` into `folder`, and each figure as PNG and SVG into `figures` in it; gives the page's path.
    pub(crate) fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("report.html");
        self.write_page(&path)?;
        let figures = folder.join("figures");
        std::fs::create_dir_all(&figures).map_err(Error::io("make the folder", &figures))?;
        for Named { name, plot, .. } in self.plots()? {
            for extension in ["png", "svg"] {
                plot.save(figures.join(name).with_extension(extension))?;
            }
        }
        Ok(path)
    }

    /// Writes the page alone.
    pub(crate) fn write_page(&self, path: &Path) -> Result<()> {
        let mut sections = vec![self.figures()?, self.by_class()];
        for Named { name, heading, plot, alt } in self.plots()? {
            let mut blocks = vec![Block::Plot { plot, alt }];
            match name {
                "history" => blocks.extend(self.history_of.clone().map(Block::Text)),
                "roc" | "precision-recall" if self.cross_validated && self.threshold.is_some() => {
                    let words =
                        "The dot is the threshold that is kept for new cells, which was chosen on these.";
                    blocks.push(Block::Text(words.to_owned()));
                }
                "patients" => {
                    blocks.extend(match &self.assessment.roll_up {
                        Some(roll_up) => self.roll_up(roll_up)?,
                        None => vec![Block::Text(
                            "Patients are not called here: that takes two classes, patients of whom nothing was learned, cells shown as \
                             they are and not in mirror images, and a threshold (in a cross-validation one for every fold) whose own \
                             cells tell how many false alarms there are and how much patients differ in them: at least ten, in ten \
                             patients or more."
                                .to_owned(),
                        )],
                    });
                }
                _ => {}
            }
            sections.push(Section { id: name, heading: heading.to_owned(), blocks });
        }
        sections.push(self.mistakes());
        if !self.augmentation.is_empty() {
            let words = "In each frame a training cell as it is, first, and then as augmentation shows it from epoch to epoch.";
            sections.push(Section {
                id: "augmentation",
                heading: "Augmentation".to_owned(),
                blocks: vec![Block::Text(words.to_owned()), Block::Gallery(self.augmentation.clone())],
            });
        }
        sections.extend(self.more.iter().cloned());
        sections.push(Section {
            id: "made",
            heading: "How this was made".to_owned(),
            blocks: vec![
                Block::Verbatim(self.command.clone()),
                Block::Table {
                    head: vec!["What".to_owned(), "Value".to_owned()],
                    rows: self.made.iter().map(|row| row.to_vec()).collect(),
                },
            ],
        });
        let (title, summary) = (self.title.clone(), self.summary.clone());
        let page = Page { title, summary, notice: NOTICE.to_owned(), sections };
        Ok(page.save(path)?)
    }

    /// Every figure that can be drawn: one that is undefined is left out.
    fn plots(&self) -> Result<Vec<Named>> {
        let Said { truth, probabilities, classes, positive, .. } = self.said;
        let (is_positive, scores) = one_vs_rest(truth, probabilities, classes.len(), positive)?;
        let (title, name) = (self.title.as_str(), self.figures.positive_class.as_str());
        let threshold = self.threshold.map(|threshold| threshold.point.threshold);
        let mut plots = Vec::new();
        if !self.history.is_empty() {
            let plot = history_plot(&self.history, title)?;
            let alt = "Loss and accuracy by epoch on the training and the validation set".to_owned();
            plots.push(Named { name: "history", heading: "By epoch", plot, alt });
        }
        let plot = confusion_plot(&self.figures.confusion, classes, title)?;
        let alt =
            format!("Counts by true and predicted class: {:?}", Vec::from(self.figures.confusion.clone()));
        plots.push(Named { name: "confusion", heading: "Confusion matrix", plot, alt });
        if let Some(curve) = roc_curve(&is_positive, &scores)? {
            let alt = format!("ROC curve with an area of {}", decimal(Some(curve.auc)));
            let plot = roc_plot(&curve, name, threshold, title);
            plots.push(Named { name: "roc", heading: "ROC curve", plot, alt });
        }
        if let Some(curve) = pr_curve(&is_positive, &scores)? {
            let alt =
                format!("Precision-recall curve with an average precision of {:.4}", curve.average_precision);
            let plot = pr_plot(&curve, name, threshold, title);
            plots.push(Named { name: "precision-recall", heading: "Precision and recall", plot, alt });
        }
        let error = expected_calibration_error(&is_positive, &scores, CALIBRATION_BINS)?;
        let bins = calibration_curve(&is_positive, &scores, CALIBRATION_BINS)?;
        let plot = calibration_plot(&bins, error, name, title);
        let alt =
            format!("Share of positive cells against their probability, calibration error {:.4}", error);
        plots.push(Named { name: "calibration", heading: "Calibration", plot, alt });
        let patients = self.patients();
        if !patients.is_empty() {
            let plot = patients_plot(&patients, title);
            let alt = format!("Accuracy of the cells of each of {} patients", patients.len());
            plots.push(Named { name: "patients", heading: "By patient", plot, alt });
        }
        Ok(plots)
    }

    fn mistakes(&self) -> Section {
        let total = self.figures.confusion.total() - self.figures.confusion.correct();
        let words = match self.mistakes.len() {
            0 if total == 0 => "Every cell was called right.".to_owned(),
            0 => format!("Cells called wrong: {total}; their pictures are not at hand."),
            shown => {
                let which = match shown as u64 == total {
                    true => "Here they are, those first that the model was most sure of".to_owned(),
                    false => format!("These are the {shown} that the model was most sure of"),
                };
                format!(
                    "Cells called wrong: {total}. {which}; in vermilion what spoke for its call rather than the others \
                     (class activation map, as Grad-CAM). Labels may be wrong, too."
                )
            }
        };
        let mut blocks = vec![Block::Text(words)];
        if !self.mistakes.is_empty() {
            blocks.push(Block::Gallery(self.mistakes.clone()));
        }
        Section { id: "mistakes", heading: "Most confident mistakes".to_owned(), blocks }
    }
}

/// Which cells there were, and how they were divided.
pub(crate) fn data_section(data: &DataSummary) -> Section {
    let mut head = vec!["Subset".to_owned()];
    head.extend(data.classes.iter().cloned());
    head.push("Patients".to_owned());
    let rows = data.subsets.iter().map(|subset| {
        let mut row = vec![subset.subset.to_string()];
        row.extend(subset.cells.iter().map(usize::to_string));
        row.push(subset.patients.to_string());
        row
    });
    let mut blocks = vec![Block::Table { head, rows: rows.collect() }];
    blocks.push(Block::Text(format!(
        "Patients with cells in more than one subset: {}. Groups of files with the same bytes in more than one: {}; in folders of \
         more than one class: {}. Files that are not images: {}. Images that could not be read and were left out: {}.",
        data.shared_patients,
        data.duplicates_across.len(),
        data.doubly_labelled.len(),
        data.ignored,
        data.skipped.len()
    )));
    let doubled = data.duplicates_across.iter().chain(&data.doubly_labelled).map(|group| group.join(" = "));
    let lines: Vec<String> = doubled.chain(data.skipped.iter().cloned()).collect();
    if !lines.is_empty() {
        blocks.push(Block::Verbatim(lines.join("\n")));
    }
    Section { id: "data", heading: "Data".to_owned(), blocks }
}

/// Which cells were judged, where no others are known.
pub(crate) fn judged_section(said: Said<'_>) -> Section {
    let Said { truth, classes, patients, .. } = said;
    let mut head = classes.to_vec();
    head.push("Patients".to_owned());
    let mut row: Vec<String> = (0..classes.len())
        .map(|class| truth.iter().filter(|&&other| other == class).count().to_string())
        .collect();
    row.push(patients.iter().flatten().collect::<BTreeSet<_>>().len().to_string());
    let blocks = vec![
        Block::Text("The cells that were judged, by their labels:".to_owned()),
        Block::Table { head, rows: vec![row] },
    ];
    Section { id: "data", heading: "Data".to_owned(), blocks }
}

/// An epoch as the figure of losses and accuracies wants it.
pub(crate) fn epoch_point(record: &EpochRecord) -> EpochPoint {
    EpochPoint {
        epoch: u32::try_from(record.epoch).unwrap_or(u32::MAX),
        train_loss: Some(record.train_loss),
        train_accuracy: Some(record.train_accuracy),
        validation_loss: record.validation_loss,
        validation_accuracy: record.validation_accuracy,
    }
}

pub(crate) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Block {
    Block::Table { head: head.iter().map(|&heading| heading.to_owned()).collect(), rows: rows.collect() }
}

/// How a figure is written.
type Show = fn(Option<f64>) -> String;

fn between(Interval { low, high }: Interval, show: Show) -> String {
    format!("{} to {}", show(Some(low)), show(Some(high)))
}
