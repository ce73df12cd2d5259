//! The results of a test set as figures to look at: files of their own, and one page that holds them all.

mod figures;
mod patients;
mod words;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use malaria_classifier::{Assessment, CALIBRATION_BINS, Caveat, DecisionRule, Scored};
use malaria_metrics::{Summary, calibration_curve, decimal, expected_calibration_error, pr_curve, roc_curve};

pub(crate) use self::figures::{decision_words, headlines, positive_share};
pub use self::words::table;
use crate::{
    error::{Error, Result},
    page::{Block, Page, Picture, Section},
    plots::{
        EpochPoint, Plot, calibration_plot, confusion_plot, history_plot, patients_plot, pr_plot, roc_plot,
    },
};

const NOTICE: &str = "Research software, not a medical device. Nothing on this page may be used to diagnose or treat \
                      anybody.";

/// Everything that a page shows.
pub struct Report<'a> {
    /// The heading.
    pub title: String,
    /// Who was evaluated, and how: lines below the title.
    pub summary: Vec<String>,
    /// What to read the figures with; more lines below the title.
    pub caveats: &'a [Caveat],
    /// The tested cells and their probabilities.
    pub scored: Scored<'a>,
    /// How they are called.
    pub rule: &'a DecisionRule,
    /// Their figures by that rule.
    pub figures: &'a Summary,
    /// Intervals, predictive values and patients.
    pub assessment: &'a Assessment,
    /// Losses and accuracies by epoch; empty where none are known.
    pub history: Vec<EpochPoint>,
    /// Whose these are, where that is not plain.
    pub history_of: Option<String>,
    /// The most confident mistakes, the worst first.
    pub mistakes: Vec<Picture>,
    /// What augmentation makes of some cells; empty where nothing was trained.
    pub augmentation: Vec<Picture>,
    /// Sections of the caller's own, before the last.
    pub more: Vec<Section>,
    /// Name and value: what the run was made by.
    pub made: Vec<[String; 2]>,
    /// The command that gave the results.
    pub command: String,
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
    ///
    /// # Errors
    /// [`Error::Write`] for a file that cannot be written; [`Error::Draw`], [`Error::Encode`] and [`Error::Classifier`] for figures
    /// that cannot be made.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let path = folder.join("report.html");
        self.write_page(&path)?;
        let figures = folder.join("figures");
        std::fs::create_dir_all(&figures).map_err(|source| Error::Write { path: figures.clone(), source })?;
        for Named { name, plot, .. } in self.plots()? {
            for extension in ["png", "svg"] {
                plot.save(figures.join(name).with_extension(extension))?;
            }
        }
        Ok(path)
    }

    /// Writes the page alone.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_page(&self, path: &Path) -> Result<()> {
        let mut sections =
            vec![figures::section(self.figures, self.assessment, self.rule), figures::by_class(self.figures)];
        for Named { name, heading, plot, alt } in self.plots()? {
            let mut blocks = vec![Block::Plot { plot, alt }];
            match name {
                "history" => blocks.extend(self.history_of.clone().map(Block::Text)),
                "roc" | "precision-recall" if self.cross_validated() => {
                    let words =
                        "The dot is the threshold that is kept for new cells, which was chosen on these.";
                    blocks.push(Block::Text(words.to_owned()));
                }
                "patients" => {
                    blocks.extend(match &self.assessment.roll_up {
                        Some(roll_up) => {
                            patients::roll_up(roll_up, &self.figures.positive_class, self.cross_validated())?
                        }
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
        let caveats = self.caveats.iter().map(Caveat::to_string);
        let summary = self.summary.iter().cloned().chain(caveats).collect();
        Page { title: self.title.clone(), summary, notice: NOTICE.to_owned(), sections }.save(path)
    }

    /// Whether each fold's cells were called at a threshold, and its patients by rates, of the other folds.
    fn cross_validated(&self) -> bool {
        matches!(self.rule, DecisionRule::FoldThresholds { .. })
    }

    /// Every figure that can be drawn: one that is undefined is left out.
    fn plots(&self) -> Result<Vec<Named>> {
        let classes = self.scored.classes;
        let (is_positive, scores) = self.scored.one_vs_rest()?;
        let (title, name) = (self.title.as_str(), self.figures.positive_class.as_str());
        let threshold = self.rule.stored().map(|threshold| threshold.point.threshold);
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
        let patients = patients::accuracies(&self.scored, self.rule);
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

/// Which cells were evaluated, where no others are known.
pub fn evaluation_section(scored: &Scored<'_>) -> Section {
    let Scored { truth, classes, patients, .. } = *scored;
    let mut head = classes.to_vec();
    head.push("Patients".to_owned());
    let mut row: Vec<String> = (0..classes.len())
        .map(|class| truth.iter().filter(|&&other| other == class).count().to_string())
        .collect();
    row.push(patients.iter().flatten().collect::<BTreeSet<_>>().len().to_string());
    let blocks = vec![
        Block::Text("The cells that were evaluated, by their labels:".to_owned()),
        Block::Table { head, rows: vec![row] },
    ];
    Section { id: "data", heading: "Data".to_owned(), blocks }
}
