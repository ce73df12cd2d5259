//! The rule that calls patients: a threshold for their cells, the rates at this threshold, and the resulting verdict.

use std::ops::RangeInclusive;

use malaria_metrics::{
    CellCounts, Interval, PatientCall, PatientCaller, PatientResult, PatientRule, percent,
};
use serde::{Deserialize, Serialize};

use crate::{decision::ChosenOn, description::Description};

/// With fewer patients, rates are uncertain.
const FEW_PATIENTS: usize = 40;

/// Probabilities of the positive class at which a cell is uncertain.
const UNCERTAIN: RangeInclusive<f64> = 0.1..=0.9;
/// With fewer cells, the share of uncertain cells says nothing.
const MIN_CELLS: u64 = 30;
/// If a larger share of the pictures has a warning, the pictures as a whole are unlike the training cells. For new patients
/// the share is 0.4 %.
const MAX_UNLIKE: f64 = 0.1;

/// How patients are called: their cells at a separate threshold, then the patient by the number of positive cells.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmearRule {
    /// Cells of at least this probability of the positive class are called positive, in `[0, 1]`. It is far above the
    /// [threshold](crate::Threshold) of single cells: nearly all cells of a smear are uninfected.
    pub threshold: f64,
    /// The cells on which it was chosen, see [`choose_smear_threshold`](malaria_metrics::choose_smear_threshold).
    pub chosen_on: ChosenOn,
    /// The largest [share of uncertain cells](CellTally::uncertain_share) in 99 of 100 of those patients; `None` if no
    /// patient has enough cells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_uncertain: Option<f64>,
    /// The rates at which those cells are called positive.
    #[serde(flatten)]
    pub rates: PatientRule,
}

/// Why patients cannot be called.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatientCallError {
    /// There is no [`SmearRule`].
    #[error(
        "the rates of false alarms and of detected parasites in new patients are unknown; estimating them \
         takes infected cells of at least eight patients and uninfected cells of at least eight patients \
         on whom the model was not trained"
    )]
    UnknownRates,

    /// Classes that are not the positive one may be other infections.
    #[error("there are more than two classes")]
    MoreClasses,

    /// The rates do not give a rule.
    #[error(transparent)]
    Rates(#[from] malaria_metrics::Error),
}

impl SmearRule {
    /// Checks the rule.
    ///
    /// # Errors
    /// A threshold outside `[0, 1]`, or rates that are not a distribution.
    pub fn check(&self) -> malaria_metrics::Result<()> {
        if !(0.0..=1.0).contains(&self.threshold) {
            let (what, value) = ("threshold for smears".to_owned(), self.threshold);
            return Err(malaria_metrics::Error::OutOfRange { what, value, range: 0.0..=1.0 });
        }
        if let Some(value) = self.max_uncertain.filter(|share| !(0.0..=1.0).contains(share)) {
            let what = "largest share of uncertain cells".to_owned();
            return Err(malaria_metrics::Error::OutOfRange { what, value, range: 0.0..=1.0 });
        }
        self.rates.check()
    }

    /// The rule, ready to call patients.
    ///
    /// # Errors
    /// As [`check`](Self::check), and rates that do not detect an infection.
    pub fn caller(&self) -> malaria_metrics::Result<PatientCaller> {
        self.check()?;
        PatientCaller::new(&self.rates)
    }

    /// Whether more of the `cells` are uncertain than in 99 of 100 patients of the cross-validation, or more than a tenth of the pictures
    /// have a warning.
    pub fn is_unfamiliar(&self, cells: &CellTally) -> bool {
        let uncertain =
            self.max_uncertain.zip(cells.uncertain_share()).is_some_and(|(usual, share)| share > usual);
        uncertain || cells.unlike_share().is_some_and(|share| share > MAX_UNLIKE)
    }

    /// The rule as text.
    pub fn note(&self, positive_class: &str) -> String {
        let PatientRule { uninfected, infected } = &self.rates;
        let patients = uninfected.patients.min(infected.patients);
        let few = if patients < FEW_PATIENTS {
            format!(" Rates from fewer than {FEW_PATIENTS} patients (here {patients}) are uncertain.")
        } else {
            String::new()
        };
        format!(
            "For patients, cells are called {positive_class} at a probability of {} or more: {} of the infected cells and {} of the \
             uninfected ones {}, in {} and {} patients. A patient is positive with more such cells than 96 of 100 patients without \
             parasites have. Otherwise the result is \"not detected\", with the detection limit (the share of infected cells at which 95 % of \
             patients are positive), or \"too few cells\". These rates were measured on pictures of single cells; they do not apply to \
             another laboratory or cell finder until measured there.{few}",
            percent(Some(self.threshold)),
            percent(Some(infected.mean)),
            percent(Some(uninfected.mean)),
            self.chosen_on.note(),
            infected.patients,
            uninfected.patients,
        )
    }
}

/// How the patients of a test set are called: by one rule or, in a cross-validation, by one rule per fold, chosen on the
/// other folds.
#[derive(Clone, Debug, PartialEq)]
pub struct SmearDecision {
    /// The rule stored with the model.
    pub stored: SmearRule,
    /// The rules of the folds and the index of each cell's, `[N]`; `None` if all patients are called by the stored rule.
    pub of_folds: Option<(Vec<SmearRule>, Vec<usize>)>,
}

impl SmearDecision {
    /// The rules that patients are called by.
    pub fn rules(&self) -> &[SmearRule] {
        match &self.of_folds {
            Some((rules, _)) => rules,
            None => std::slice::from_ref(&self.stored),
        }
    }

    /// The index of the rule of cell `i` in [`rules`](Self::rules).
    ///
    /// # Panics
    /// If `i` is out of range of the cells of the folds.
    pub fn of_cell(&self, i: usize) -> usize {
        self.of_folds.as_ref().map_or(0, |(_, of_cells)| of_cells[i])
    }
}

/// Counts of the cells of a patient or photograph, called at the threshold for smears.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellTally {
    /// All cells and those called positive.
    pub called: CellCounts,
    /// Cells with a probability of the positive class from 10 to 90 %.
    pub uncertain: u64,
    /// Cells that the model is known to have been trained on.
    pub seen_in_training: u64,
    /// Pictures with a warning, including those that are set aside.
    pub unlike: u64,
    /// All pictures, including those that are set aside.
    pub pictures: u64,
}

impl CellTally {
    /// Counts a cell with this probability of the positive class.
    pub fn count(&mut self, probability: f64, positive: bool) {
        self.pictures += 1;
        self.called.cells += 1;
        self.called.positive += u64::from(positive);
        self.uncertain += u64::from(UNCERTAIN.contains(&probability));
    }

    /// Sets a picture with a warning aside.
    pub fn set_aside(&mut self) {
        self.pictures += 1;
        self.unlike += 1;
    }

    /// The share of pictures with a warning; `None` for fewer than 30 pictures.
    pub fn unlike_share(&self) -> Option<f64> {
        (self.pictures >= MIN_CELLS).then(|| self.unlike as f64 / self.pictures as f64)
    }

    /// The share of uncertain cells; `None` for fewer than 30 cells.
    ///
    /// It shows whether pictures are unlike the training cells in stain, focus or camera: a network trained on many stains
    /// makes mistakes where it is uncertain, not where colours are unusual (`docs/stain.md`).
    pub fn uncertain_share(&self) -> Option<f64> {
        let cells = self.called.cells;
        (cells >= MIN_CELLS).then(|| self.uncertain as f64 / cells as f64)
    }
}

/// The result of a patient, and its limits.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PatientVerdict {
    /// Estimated share of infected cells, and the call.
    #[serde(flatten)]
    pub result: PatientResult,
    /// [Share of uncertain cells](CellTally::uncertain_share).
    pub uncertain_share: Option<f64>,
    /// [Share of pictures with a warning](CellTally::unlike_share).
    pub unlike_share: Option<f64>,
    /// Whether one of these shares is too large, see [`SmearRule::is_unfamiliar`]: the rates do not hold for such pictures.
    /// The patient is then called positive or not called, and no share of infected cells is ruled out.
    pub unfamiliar: bool,
    /// Whether the model was trained on cells of this patient, by the name or by the contents of the cells: the result is
    /// then optimistic.
    pub seen_in_training: bool,
    /// The call as text.
    pub words: String,
}

impl PatientVerdict {
    /// Completes the `result` for the `cells` of a patient, called by the rule `smear` of a model with this `description`.
    /// `result` is `None` if none of the pictures counts.
    pub fn new(
        description: &Description,
        smear: &SmearRule,
        patient: Option<&str>,
        cells: &CellTally,
        result: Option<PatientResult>,
    ) -> Self {
        let uncertain_share = cells.uncertain_share();
        let unlike_share = cells.unlike_share();
        let unfamiliar = smear.is_unfamiliar(cells);
        let known =
            patient.is_some_and(|patient| description.training_patients.iter().any(|known| known == patient));
        let seen_in_training = known || cells.seen_in_training > 0;
        // Without a counted cell there is no result.
        let mut result = result.unwrap_or_else(|| PatientResult::not_called(cells.called));
        if unfamiliar && result.call != PatientCall::Positive {
            result = PatientResult::not_called(cells.called);
        } else if unfamiliar {
            result.interval = Interval { low: 0.0, high: 1.0 };
        }
        let mut words = match result.call {
            PatientCall::Positive if unfamiliar => "positive, but unreliable".to_owned(),
            PatientCall::Positive => "positive".to_owned(),
            PatientCall::NotDetected { detection_limit } => {
                format!(
                    "not detected (limit {} at {} cells)",
                    percent(Some(detection_limit)),
                    cells.called.cells
                )
            }
            PatientCall::TooFewCells { more_cells } => format!("too few cells ({more_cells} more needed)"),
            PatientCall::NotCalled => "not called".to_owned(),
        };
        if cells.called.cells == 0 {
            words += ": all pictures have a warning";
        } else if unfamiliar {
            words += &format!(
                ": the pictures are unlike the training cells ({} of the cells are uncertain, {} of the pictures have a warning or come from poor photographs)",
                percent(uncertain_share),
                percent(unlike_share)
            );
            if result.call != PatientCall::Positive {
                words += "; the detection limit is unknown for them";
            }
        }
        if seen_in_training {
            words += match cells.seen_in_training {
                0 => "; not valid: the model was trained on a patient of this name",
                _ => "; not valid: the model was trained on cells of this patient",
            };
        }
        Self { result, uncertain_share, unlike_share, unfamiliar, seen_in_training, words }
    }

    /// Withdraws the call, because this number of the patient's pictures is not classified.
    pub(crate) fn withdraw_call(&mut self, pictures: usize) {
        self.result = PatientResult::not_called(self.result.called);
        self.words = format!("not called: {pictures} of the patient's pictures are not classified");
    }
}
