//! A run as figures to look at: files of their own, and one page that holds them all.

use std::path::{Path, PathBuf};

use malaria_dataset::Protocol;
use malaria_edge::most_probable;
use malaria_metrics::{
    Interval, PatientFigures, Summary, Target, calibration_curve, expected_calibration_error, one_vs_rest,
    pr_curve, roc_curve,
};
use malaria_report::{
    Block, EpochPoint, Page, PatientAccuracy, Picture, Plot, Section, Tile, calibration_plot, confusion_plot,
    history_plot, patients_plot, pr_plot, roc_plot,
};
use malaria_train::EpochRecord;

use crate::{
    Assessment, ChosenOn, DataSummary, Error, Result, RollUp, Threshold, assessment::CALIBRATION_BINS,
    threshold::Said,
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

/// How a threshold was chosen, in words.
pub fn threshold_note(positive_class: &str, threshold: &Threshold) -> String {
    let (figure, share) = match threshold.target {
        Target::Sensitivity(share) => ("sensitivity", share),
        Target::Specificity(share) => ("specificity", share),
    };
    let cells = match threshold.chosen_on {
        ChosenOn::Validation => "the validation set",
        ChosenOn::OutOfFold => "cells that the model of their fold had not learned from",
    };
    format!(
        "called {positive_class} from a probability of {} on, chosen for a {figure} of {} on {cells}",
        percent(Some(threshold.point.threshold)),
        percent(Some(share)),
    )
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
    /// Empty where nothing was trained.
    pub(crate) history: &'a [EpochRecord],
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
        let mut sections = vec![self.headline()];
        for Named { name, heading, plot, alt } in self.plots()? {
            let mut blocks = vec![Block::Plot { plot, alt }];
            if name == "patients" {
                blocks.extend(
                    self.assessment.roll_up.as_ref().map(|roll_up| self.roll_up(roll_up)).unwrap_or_default(),
                );
            }
            sections.push(Section { id: name, heading: heading.to_owned(), blocks });
        }
        sections.push(self.mistakes());
        if !self.augmentation.is_empty() {
            let words = "Some training cells (left), and what augmentation made of them in the first epochs.";
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

    fn headline(&self) -> Section {
        let Self { figures, assessment, .. } = self;
        let rows = headlines(figures, assessment);
        let tiles = rows.iter().map(|row| Tile {
            name: row.name.to_owned(),
            label: row.label.to_owned(),
            value: (row.show)(row.value),
            exact: row.value,
            note: row.over_patients.map(|interval| between(interval, row.show)).unwrap_or_default(),
        });
        let patients = assessment.n_patients;
        let mut words = format!(
            "{} is the positive class; a cell is called by its most probable class. Below each figure its 95 % interval, from \
             a bootstrap over {patients} patients.",
            figures.positive_class
        );
        if assessment.cells_without_patient > 0 {
            words += &format!(
                " {} cells of unknown patient were each taken for themselves, which makes the intervals too narrow.",
                assessment.cells_without_patient
            );
        }
        let mut blocks = vec![Block::Tiles(tiles.collect()), Block::Text(words)];
        if let (Some(at), Some(threshold)) = (&figures.at_threshold, &self.threshold) {
            blocks.push(Block::Text(format!(
                "At the threshold ({}): accuracy {}, sensitivity {}, specificity {}.",
                threshold_note(&figures.positive_class, threshold),
                percent(Some(at.accuracy)),
                percent(at.sensitivity),
                percent(at.specificity),
            )));
        }
        blocks.push(table(
            &["Figure", "Value", "95 %, over patients", "95 %, as if cells were independent"],
            rows.iter().map(|row| {
                let [patients, cells] =
                    [row.over_patients, row.over_cells].map(|interval| row.interval(interval));
                vec![row.label.to_owned(), (row.show)(row.value), patients, cells]
            }),
        ));
        let more = [
            ("Positive predictive value", percent(figures.ppv)),
            ("Negative predictive value", percent(figures.npv)),
            ("F1", percent(figures.f1)),
            ("Balanced accuracy", percent(figures.balanced_accuracy)),
            ("Matthews correlation", area(figures.mcc)),
            ("Average precision", area(figures.average_precision)),
            ("Log loss", area(Some(figures.log_loss))),
            ("Brier score", area(Some(figures.brier))),
            ("Calibration error", percent(Some(assessment.calibration_error))),
            ("Cells", figures.n.to_string()),
        ];
        blocks.push(table(
            &["Other figures", "Value"],
            more.into_iter().map(|(name, value)| vec![name.to_owned(), value]),
        ));
        blocks.push(Block::Text(format!(
            "Predictive values where few cells are infected, as in a smear, rather than {} of them as here:",
            percent(positive_share(figures))
        )));
        blocks.push(table(
            &["Infected cells", "A positive call is right in", "A negative call is right in"],
            assessment
                .at_prevalence
                .iter()
                .map(|at| vec![percent(Some(at.prevalence)), percent(at.ppv), percent(at.npv)]),
        ));
        Section { id: "figures", heading: "Figures".to_owned(), blocks }
    }

    /// Every figure that can be drawn: one that is undefined is left out.
    fn plots(&self) -> Result<Vec<Named>> {
        let Said { truth, probabilities, classes, positive, .. } = self.said;
        let (is_positive, scores) = one_vs_rest(truth, probabilities, classes.len(), positive)?;
        let (title, name) = (self.title.as_str(), self.figures.positive_class.as_str());
        let threshold = self.threshold.map(|threshold| threshold.point.threshold);
        let mut plots = Vec::new();
        if !self.history.is_empty() {
            let points: Vec<EpochPoint> = self.history.iter().map(epoch_point).collect();
            let plot = history_plot(&points, title)?;
            let alt = "Loss and accuracy by epoch on the training and the validation set".to_owned();
            plots.push(Named { name: "history", heading: "By epoch", plot, alt });
        }
        let plot = confusion_plot(&self.figures.confusion, classes, title)?;
        let alt =
            format!("Counts by true and predicted class: {:?}", Vec::from(self.figures.confusion.clone()));
        plots.push(Named { name: "confusion", heading: "Confusion matrix", plot, alt });
        if let Some(curve) = roc_curve(&is_positive, &scores)? {
            let alt = format!("ROC curve with an area of {:.4}", curve.auc);
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

    /// How well each known patient's cells were called by their most probable class.
    fn patients(&self) -> Vec<PatientAccuracy> {
        let Said { truth, probabilities, classes, positive, patients } = self.said;
        let mut found: std::collections::BTreeMap<&str, PatientAccuracy> = std::collections::BTreeMap::new();
        let rows = probabilities.chunks_exact(classes.len());
        for ((patient, row), &class) in patients.iter().zip(rows).zip(truth) {
            let Some(patient) = *patient else { continue };
            let empty =
                || PatientAccuracy { patient: patient.to_owned(), cells: 0, right: 0, infected: false };
            let entry = found.entry(patient).or_insert_with(empty);
            entry.cells += 1;
            entry.right += u64::from(most_probable(row) == class);
            entry.infected |= class == positive;
        }
        found.into_values().collect()
    }

    fn roll_up(&self, roll_up: &RollUp) -> Vec<Block> {
        let RollUp { rule, as_they_are, resampled, detection_limits } = roll_up;
        let mut blocks = vec![Block::Text(format!(
            "A patient is called positive when more of their cells are called {} than false alarms explain: {} of uninfected \
             cells, with a correlation of {:.3} within a patient. They are called negative when fewer are than {} of infected \
             cells would give, and are undecided otherwise, which counts as an error below.",
            self.figures.positive_class,
            percent(Some(rule.false_positive_rate)),
            rule.correlation,
            percent(Some(rule.relevant_share)),
        ))];
        let row = |name: String, figures: &PatientFigures| {
            let PatientFigures { infected, healthy, .. } = figures;
            let interval = |share, interval: Option<Interval>| {
                let interval = interval.map(|interval| format!(" ({})", between(interval, percent)));
                format!("{}{}", percent(share), interval.unwrap_or_default())
            };
            vec![
                name,
                interval(figures.sensitivity, figures.sensitivity_interval),
                format!("{} / {} / {}", infected.positive, infected.undecided, infected.negative),
                interval(figures.specificity, figures.specificity_interval),
                format!("{} / {} / {}", healthy.positive, healthy.undecided, healthy.negative),
            ]
        };
        let first = row("all cells of the data set".to_owned(), as_they_are);
        let rows = std::iter::once(first).chain(resampled.iter().map(|sample| {
            let name = format!("{} cells, {} infected", sample.cells, percent(Some(sample.infected_share)));
            row(name, &sample.figures)
        }));
        blocks.push(table(
            &[
                "Cells a patient",
                "Infected patients called positive",
                "Infected: positive / undecided / negative",
                "Healthy patients called negative",
                "Healthy: positive / undecided / negative",
            ],
            rows,
        ));
        if self.threshold.is_some_and(|threshold| threshold.chosen_on == ChosenOn::OutOfFold) {
            blocks.push(Block::Text(
                "The threshold and these rates were read off the very patients who are called here, which flatters the calls a \
                 little."
                    .to_owned(),
            ));
        }
        for limit in detection_limits {
            blocks.push(Block::Text(match limit.infected_share {
                Some(share) => format!(
                    "Of {} cells counted, {} have to be infected (about {:.0} cells) for a patient to be found in 95 of 100 cases.",
                    limit.cells,
                    percent(Some(share)),
                    (share * limit.cells as f64).ceil(),
                ),
                None => format!("Of {} cells counted, no share that is infected is found in 95 of 100 cases.", limit.cells),
            }));
        }
        blocks.push(Block::Text(
"5,000 is the most cells that the WHO has counted in a thin smear. Counting more lowers the limit only as far as \
             patients are alike in their false alarms. Calls of infected cells are taken to differ between patients as much as false \
             alarms do, which makes the limits careful ones."
                .to_owned(),
        ));
        blocks
    }

    fn mistakes(&self) -> Section {
        let total = self.figures.confusion.total() - self.figures.confusion.correct();
        let words = match self.mistakes.len() {
            0 if total == 0 => "Every cell was called right.".to_owned(),
            0 => format!("{total} cells were called wrong; their pictures are not at hand."),
            shown => format!(
                "{total} cells were called wrong. These are the {shown} that the model was most sure of; in vermilion what spoke \
                 for its call rather than the others (class activation map, as Grad-CAM). Labels may be wrong, too."
            ),
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
        "{} patients have cells in more than one subset; {} groups of files with the same bytes are in more than one; {} files \
         are not images; {} images could not be read and were left out.",
        data.shared_patients,
        data.duplicates_across,
        data.ignored,
        data.skipped.len()
    )));
    if !data.skipped.is_empty() {
        blocks.push(Block::Verbatim(data.skipped.join("\n")));
    }
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

/// Share of the cells that are of the positive class.
pub(crate) fn positive_share(figures: &Summary) -> Option<f64> {
    let position = figures.classes.iter().position(|class| *class == figures.positive_class)?;
    Some(figures.confusion.true_counts()[position] as f64 / figures.n as f64)
}

/// One of the figures that are looked at first.
pub(crate) struct Headline {
    /// As in `metrics.json`.
    name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) value: Option<f64>,
    pub(crate) over_patients: Option<Interval>,
    over_cells: Option<Interval>,
    pub(crate) show: Show,
}

impl Headline {
    /// One of its intervals as it is written.
    pub(crate) fn interval(&self, interval: Option<Interval>) -> String {
        interval.map_or_else(|| "n/a".to_owned(), |interval| between(interval, self.show))
    }
}

/// Accuracy, sensitivity, specificity and area under the ROC curve.
pub(crate) fn headlines(figures: &Summary, assessment: &Assessment) -> [Headline; 4] {
    let (patients, cells) = (&assessment.intervals, &assessment.intervals_over_cells);
    [
        Headline {
            name: "accuracy",
            label: "Accuracy",
            value: Some(figures.accuracy),
            over_patients: patients.accuracy,
            over_cells: cells.accuracy,
            show: percent,
        },
        Headline {
            name: "sensitivity",
            label: "Sensitivity",
            value: figures.sensitivity,
            over_patients: patients.sensitivity,
            over_cells: cells.sensitivity,
            show: percent,
        },
        Headline {
            name: "specificity",
            label: "Specificity",
            value: figures.specificity,
            over_patients: patients.specificity,
            over_cells: cells.specificity,
            show: percent,
        },
        Headline {
            name: "auc",
            label: "Area under the ROC curve",
            value: figures.auc,
            over_patients: patients.auc,
            over_cells: cells.auc,
            show: area,
        },
    ]
}

pub(crate) fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Block {
    Block::Table { head: head.iter().map(|&heading| heading.to_owned()).collect(), rows: rows.collect() }
}

/// How a figure is written.
type Show = fn(Option<f64>) -> String;

/// A fraction as a percentage, `n/a` where it is undefined.
pub(crate) fn percent(fraction: Option<f64>) -> String {
    fraction.map_or_else(|| "n/a".to_owned(), |fraction| format!("{:.2} %", 100.0 * fraction))
}

/// A figure with four decimals, `n/a` where it is undefined.
pub(crate) fn area(figure: Option<f64>) -> String {
    figure.map_or_else(|| "n/a".to_owned(), |figure| format!("{figure:.4}"))
}

fn between(Interval { low, high }: Interval, show: Show) -> String {
    format!("{} to {}", show(Some(low)), show(Some(high)))
}
