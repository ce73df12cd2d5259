//! How patients are called from cells of a smear: the threshold of their cells, and the rates at it.

use malaria_metrics::{PatientCall, PatientCaller, PatientRule, percent};
use serde::{Deserialize, Serialize};

use crate::decision::ChosenOn;

/// Rates from fewer patients are uncertain.
const FEW_PATIENTS: usize = 40;

/// How patients are called: their cells at a threshold of their own, then the patient by the number of positive ones.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SmearRule {
    /// Cells of at least this probability of the positive class are called positive, in `[0, 1]`. It is far above the
    /// [threshold](crate::Threshold) of single cells: nearly all cells of a smear are uninfected.
    pub threshold: f64,
    /// The cells that it was chosen on, see [`choose_smear_threshold`](malaria_metrics::choose_smear_threshold).
    pub chosen_on: ChosenOn,
    /// The rates at which those cells are called positive.
    #[serde(flatten)]
    pub rates: PatientRule,
}

/// Why patients cannot be called.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NoPatientRule {
    /// There is no [`SmearRule`].
    #[error(
        "the rates of false alarms and of found parasites in new patients are unknown; estimating them takes cells of either kind of at \
         least eight patients from whom the model has not learned"
    )]
    UnknownRates,

    /// Classes that are not the positive one may be other infections.
    #[error("there are more than two classes")]
    MoreClasses,

    /// The rates make no rule.
    #[error(transparent)]
    Rates(#[from] malaria_metrics::Error),
}

impl SmearRule {
    /// Checks the rule.
    ///
    /// # Errors
    /// A threshold outside `[0, 1]`, or rates that are no distribution.
    pub fn check(&self) -> malaria_metrics::Result<()> {
        if !(0.0..=1.0).contains(&self.threshold) {
            let (what, value) = ("threshold for smears".to_owned(), self.threshold);
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

    /// The rule in words.
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
             uninfected ones {}, in {} and {} patients. A patient is positive with more such cells than 95 of 100 patients without \
             parasites have; otherwise none are detected, down to the stated share of infected cells (95 % of patients with that share are \
             positive), or the cells are too few. These rates are of pictures of single cells like those that the model was tested on: they \
             hold for no other laboratory or cell finder until measured there.{few}",
            percent(Some(self.threshold)),
            percent(Some(infected.mean)),
            percent(Some(uninfected.mean)),
            self.chosen_on.note(),
            infected.patients,
            uninfected.patients,
        )
    }
}

/// How the patients of a test set are called: by one rule, or in a cross-validation by one for each fold, chosen on the other folds.
#[derive(Clone, Debug, PartialEq)]
pub struct SmearDecision {
    /// The rule stored with the model.
    pub stored: SmearRule,
    /// The rules of the folds and the index of each cell's, `[N]`; `None` where all patients are called by the stored one.
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

    /// The index in [`rules`](Self::rules) of that of cell `i`.
    ///
    /// # Panics
    /// If `i` is out of range of the cells of the folds.
    pub fn of_cell(&self, i: usize) -> usize {
        self.of_folds.as_ref().map_or(0, |(_, of_cells)| of_cells[i])
    }
}

/// The call of a patient of whom `cells` cells were counted, in words.
pub fn patient_words(call: PatientCall, cells: u64) -> String {
    match call {
        PatientCall::Positive => "positive".to_owned(),
        PatientCall::NotDetected { detection_limit } => {
            format!("not detected (limit {} at {cells} cells)", percent(Some(detection_limit)))
        }
        PatientCall::TooFewCells { more_cells } => format!("too few cells ({more_cells} more needed)"),
    }
}
