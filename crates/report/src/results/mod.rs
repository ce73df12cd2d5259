//! The report on a test set: one page of HTML, and its plots as files.

mod metrics;
mod patients;
mod words;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use malaria_classifier::{Assessment, CALIBRATION_BINS, Caveat, DecisionRule, Scored};
use malaria_metrics::{Summary, calibration_curve, decimal, expected_calibration_error, pr_curve, roc_curve};

pub(crate) use self::metrics::{headlines, positive_share};
pub use self::words::table;
pub(crate) use self::words::with;
use crate::{
    error::Result,
    page::{Block, Page, Picture, Section},
    plots::{
        EpochPoint, Plot, calibration_plot, confusion_plot, detection_plot, history_plot, patients_plot,
        pr_plot, roc_plot,
    },
};

const NOTICE: &str = "Research software, not a medical device. Nothing on this page may be used to \
    diagnose or treat anybody.";

/// The contents of a report.
pub struct Report<'a> {
    /// The heading.
    pub title: String,
    /// Lines below the title: which cells were evaluated, and how.
    pub summary: Vec<String>,
    /// Limits of the metrics, shown as further lines below the title.
    pub caveats: &'a [Caveat],
    /// The tested cells and their probabilities.
    pub scored: Scored<'a>,
    /// How the cells are called.
    pub rule: &'a DecisionRule,
    /// Metrics of the cells by that rule.
    pub metrics: &'a Summary,
    /// Intervals, predictive values and patients.
    pub assessment: &'a Assessment,
    /// Losses and accuracies by epoch; empty if unknown.
    pub history: Vec<EpochPoint>,
    /// A remark below the history.
    pub history_of: Option<String>,
    /// The most confident mistakes, the worst first.
    pub mistakes: Vec<Picture>,
    /// Augmented cells; empty if nothing was trained.
    pub augmentation: Vec<Picture>,
    /// More sections, before the last.
    pub more: Vec<Section>,
    /// Names and values of the settings and versions.
    pub made: Vec<[String; 2]>,
    /// The command that produced the results.
    pub command: String,
}

/// A section with a plot, whose `name` is the section's id and the name of the plot's files.
struct PlotSection {
    name: &'static str,
    heading: &'static str,
    plot: Plot,
    /// A description for readers who cannot see the plot.
    alt: String,
    /// Blocks below the plot.
    below: Vec<Block>,
}

impl Report<'_> {
    /// Writes `report.html` into `folder`, and each plot as PNG and SVG into its folder `figures`. Returns the page's path.
    ///
    /// # Errors
    /// [`Error::File`](crate::Error::File) for a file that cannot be written; other errors for a plot that cannot be drawn.
    pub fn write(&self, folder: &Path) -> Result<PathBuf> {
        let figures = folder.join("figures");
        std::fs::create_dir_all(&figures).map_err(malaria_files::Error::io("make the folder", &figures))?;
        let plots = self.plots()?;
        for PlotSection { name, plot, .. } in &plots {
            for extension in ["png", "svg"] {
                plot.save(figures.join(name).with_extension(extension))?;
            }
        }
        let path = folder.join("report.html");
        self.page(plots).save(&path)?;
        Ok(path)
    }

    /// Writes the page alone.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_page(&self, path: &Path) -> Result<()> {
        self.page(self.plots()?).save(path)
    }

    fn page(&self, plots: Vec<PlotSection>) -> Page {
        let mut sections = vec![metrics::section(self.metrics, self.assessment, self.rule)];
        sections.extend(plots.into_iter().map(|PlotSection { name, heading, plot, alt, below }| Section {
            id: name,
            heading: heading.to_owned(),
            blocks: std::iter::once(Block::Plot { plot, alt }).chain(below).collect(),
        }));
        sections.push(self.mistakes());
        if !self.augmentation.is_empty() {
            let words = "Each frame shows a training cell, then augmented versions of it in several epochs.";
            sections.push(Section {
                id: "augmentation",
                heading: "Augmentation".to_owned(),
                blocks: vec![Block::Text(words.to_owned()), Block::Gallery(self.augmentation.clone())],
            });
        }
        sections.push(metrics::other(self.metrics, self.assessment));
        sections.push(metrics::by_class(self.metrics));
        sections.push(metrics::predictive_values(self.metrics, self.assessment));
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
        Page { title: self.title.clone(), summary, notice: NOTICE.to_owned(), sections }
    }

    /// All plots whose curves are defined and known.
    fn plots(&self) -> Result<Vec<PlotSection>> {
        let (is_positive, scores) = self.scored.one_vs_rest()?;
        let positive_class = self.metrics.positive_class.as_str();
        let of_cells =
            |what: &str| format!("{what}, {} cells of {}", self.metrics.n, self.assessment.patients());
        let threshold = self.rule.stored().map(|threshold| threshold.point.threshold);
        let cross_validated = matches!(self.rule, DecisionRule::FoldThresholds { .. });
        let dot = cross_validated
            .then_some("The dot is the threshold for new cells, which was chosen on these cells.");
        let dot = dot.map(|words| Block::Text(words.to_owned()));
        let mut plots = Vec::new();
        let confusion = &self.metrics.confusion;
        plots.push(PlotSection {
            name: "confusion",
            heading: "Confusion matrix",
            plot: confusion_plot(confusion, self.scored.classes, &of_cells("Confusion matrix"))?,
            alt: format!("Counts by true and predicted class: {:?}", Vec::from(confusion.clone())),
            below: Vec::new(),
        });
        // A curve shows its area, which is not known with few cells.
        if let Some(curve) = roc_curve(&is_positive, &scores)?.filter(|_| self.metrics.auc.is_some()) {
            plots.push(PlotSection {
                name: "roc",
                heading: "ROC curve",
                plot: roc_plot(&curve, positive_class, threshold, &of_cells("ROC curve")),
                alt: format!("ROC curve with an area of {}", decimal(Some(curve.auc))),
                below: dot.clone().into_iter().collect(),
            });
        }
        if let Some(curve) =
            pr_curve(&is_positive, &scores)?.filter(|_| self.metrics.average_precision.is_some())
        {
            plots.push(PlotSection {
                name: "precision-recall",
                heading: "Precision and recall",
                plot: pr_plot(&curve, positive_class, threshold, &of_cells("Precision and recall")),
                alt: format!(
                    "Precision-recall curve with an average precision of {:.4}",
                    curve.average_precision
                ),
                below: dot.into_iter().collect(),
            });
        }
        let error = expected_calibration_error(&is_positive, &scores, CALIBRATION_BINS)?;
        let bins = calibration_curve(&is_positive, &scores, CALIBRATION_BINS)?;
        plots.push(PlotSection {
            name: "calibration",
            heading: "Calibration",
            plot: calibration_plot(&bins, error, positive_class, &of_cells("Calibration")),
            alt: format!("Share of positive cells against their probability, calibration error {error:.4}"),
            below: Vec::new(),
        });
        let patients = patients::accuracies(&self.scored, self.rule);
        if !patients.is_empty() {
            plots.push(PlotSection {
                name: "patients",
                heading: "By patient",
                plot: patients_plot(&patients, &of_cells("Accuracy by patient")),
                alt: format!("Accuracy of the cells of each of {} patients", patients.len()),
                below: match &self.assessment.patient_level {
                    Some(patient_level) => {
                        patients::patient_level(patient_level, positive_class, cross_validated)
                    }
                    None => vec![Block::Text(patients::NOT_CALLED.to_owned())],
                },
            });
        }
        if let Some(patient_level) =
            self.assessment.patient_level.as_ref().filter(|found| !found.detection_limits.is_empty())
        {
            let curves = patients::detection_curves(patient_level)?;
            plots.push(PlotSection {
                name: "detection",
                heading: "What a smear can detect",
                alt: format!(
                    "Share of patients called positive against their share of infected cells: {}",
                    patients::limits(&curves)
                ),
                plot: detection_plot(&curves, "What a smear can detect"),
                below: Vec::new(),
            });
        }
        if !self.history.is_empty() {
            plots.push(PlotSection {
                name: "history",
                heading: "By epoch",
                plot: history_plot(&self.history, "Loss and accuracy by epoch")?,
                alt: "Loss and accuracy by epoch on the training and the validation set".to_owned(),
                below: self.history_of.clone().map(Block::Text).into_iter().collect(),
            });
        }
        Ok(plots)
    }

    fn mistakes(&self) -> Section {
        let total = self.metrics.confusion.total() - self.metrics.confusion.correct();
        let words = match self.mistakes.len() {
            0 if total == 0 => "All cells were classified correctly.".to_owned(),
            0 => format!("Misclassified cells: {total}. Their pictures are not available."),
            shown => {
                let which = if shown as u64 == total {
                    "They are".to_owned()
                } else {
                    format!("The {shown} most confident mistakes are")
                };
                format!(
                    "Misclassified cells: {total}. {which} shown here, the most confident ones first. Vermilion marks the evidence for \
                     the predicted class (class activation map, as Grad-CAM). A label may also be wrong."
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

/// A section on the evaluated cells, for reports without training data.
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
