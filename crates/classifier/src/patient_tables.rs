//! Patient-level results as tables for the terminal, the page and the card.

use malaria_metrics::{CallCounts, Interval, PatientMetrics, percent};

use crate::{
    detection_limit::DetectionLimit,
    patient_results::{FoundAt, PatientAssessment, PatientRoc},
};

/// A table of results as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its caption, one or two sentences.
    pub title: String,
    /// Headings, one per column.
    pub head: Vec<&'static str>,
    /// Rows, as long as the head.
    pub rows: Vec<Vec<String>>,
}

impl PatientAssessment {
    /// The results as tables for the terminal, the page and the card.
    pub fn tables(&self) -> Vec<Table> {
        let with = |share: Option<f64>, interval: Option<Interval>| match interval {
            Some(Interval { low, high }) => {
                format!("{} ({} to {})", percent(share), percent(Some(low)), percent(Some(high)))
            }
            None => percent(share),
        };
        let calls = |name: &str, calls: &CallCounts| {
            let share = |part: u64| (calls.total() > 0).then(|| part as f64 / calls.total() as f64);
            let part = |part: u64, interval| format!("{part}: {}", with(share(part), interval));
            vec![
                name.to_owned(),
                part(calls.positive, calls.positive_interval),
                part(calls.not_detected, calls.not_detected_interval),
                calls.too_few_cells.to_string(),
                calls.not_called.to_string(),
            ]
        };
        let PatientMetrics { infected, healthy } = &self.as_they_are;
        let found = |at: &FoundAt| {
            vec![
                percent(Some(at.infected_share)),
                with(Some(at.found), at.interval),
                percent(Some(at.excess)),
            ]
        };
        let healthy_found = (self.found.healthy.is_some()).then(|| {
            vec![
                "healthy patients".to_owned(),
                with(self.found.healthy, self.found.healthy_interval),
                String::new(),
            ]
        });
        let limit = |limit: &DetectionLimit| {
            let blank = match limit.limit_of_blank_interval {
                Some(Interval { low, high }) => format!("{} ({low:.0} to {high:.0})", limit.limit_of_blank),
                None => limit.limit_of_blank.to_string(),
            };
            vec![limit.cells.to_string(), blank, with(limit.infected_share, limit.infected_share_interval)]
        };
        let unlike = self.detection_limits.is_empty();
        let needed =
            format!(" At least {} cells are needed to call parasites not detected.", self.cells_needed);
        let mut tables = vec![
            Table {
                title: format!(
                    "Patients called by all their cells, of which far more are infected than in a smear.{}",
                    if unlike { "" } else { &needed }
                ),
                head: vec!["Patients", "Positive", "Not detected", "Too few cells", "Not called"],
                rows: vec![calls("infected", infected), calls("healthy", healthy)],
            },
            Table {
                title: format!(
                    "Patients called positive by smears of {} cells, averaged over the test patients' own rates; intervals are over these \
                     patients, at fixed rates of new ones. The excess over the row of 0 % is detection, the rest are false alarms.{}",
                    self.found.cells,
                    self.above_blank.map(|observed| observed.note()).unwrap_or_default()
                ),
                head: vec!["Infected cells", "Patients called positive", "Above 0 %"],
                rows: healthy_found.into_iter().chain(self.found.infected.iter().map(found)).collect(),
            },
            Table {
                title: if unlike {
                    "The detection limit and the share of patients found are unknown: the cells are unlike the training cells."
                        .to_owned()
                } else {
                    "Limits for new patients: at most 4 of 100 without parasites exceed the limit of blank; 95 of 100 at the detection \
                     limit exceed it. Intervals are those of these cautious limits at the same threshold, over patients."
                        .to_owned()
                },
                head: vec!["Cells counted", "Limit of blank (cells)", "Detection limit (infected cells)"],
                rows: self.detection_limits.iter().map(limit).collect(),
            },
        ];
        if unlike {
            tables.remove(1);
        }
        if let Some(PatientRoc { auc, auc_interval, by_cut, by_cut_intervals, patients }) = &self.roc {
            let ends = auc_interval
                .map(|ends| format!(" ({:.4} to {:.4})", ends.low, ends.high))
                .unwrap_or_default();
            let title = "Infected against healthy patients by their share of positive cells, of pictures of single cells.";
            let (mut title, mut head, mut row) =
                (title.to_owned(), vec!["Area under the ROC curve"], vec![format!("{auc:.4}{ends}")]);
            if let Some(counts) = by_cut {
                title += " The cut of each fold leaves at least 95 % of the healthy patients of the other folds below it.";
                head.extend(["Infected above the cut", "Healthy below the cut"]);
                row.extend([0, 1].map(|i| {
                    let interval = by_cut_intervals.and_then(|intervals| intervals[i]);
                    format!(
                        "{} of {}: {}",
                        counts[i],
                        patients[i],
                        with(Some(counts[i] as f64 / patients[i] as f64), interval)
                    )
                }));
            }
            tables.push(Table { title, head, rows: vec![row] });
        }
        tables
    }
}
