//! `model_card.md`: what a reader of a paper or a user of the model has to know, as far as a run can tell.

use malaria_classifier::{Assessment, Caveat, DecisionRule, ImageConfig, ResNetConfig, protocol_note};
use malaria_dataset::Protocol;
use malaria_metrics::{PatientFigures, Summary, percent};

use crate::results::{decision_words, headlines, positive_share};

/// What a card is written from.
pub struct Card<'a> {
    /// The recipe of the training, in words.
    pub recipe: String,
    /// How cells were divided where the figures come from.
    pub protocol: Protocol,
    /// How pictures are prepared.
    pub image: ImageConfig,
    /// The network.
    pub network: &'a ResNetConfig,
    /// The figures of the tested cells.
    pub figures: &'a Summary,
    /// Intervals, predictive values and patients.
    pub assessment: &'a Assessment,
    /// How the tested cells are called.
    pub rule: &'a DecisionRule,
    /// What to read the figures with.
    pub caveats: &'a [Caveat],
    /// Which cells the figures are of, in words.
    pub judged_on: String,
    /// What was learned from, in words.
    pub learned_from: String,
    /// Pictures that could not be read and were left out.
    pub missing: usize,
    /// Name and value: what the model was made by.
    pub made: Vec<[String; 2]>,
    /// The command that made it.
    pub command: &'a str,
}

/// What only a person can fill in.
const OPEN: &str = "*to be filled in by a person*";

impl Card<'_> {
    /// The card as Markdown.
    pub fn markdown(&self) -> String {
        let Self { image, figures, assessment, judged_on, learned_from, command, .. } = self;
        let positive = &figures.positive_class;
        let cross_validated = matches!(self.rule, DecisionRule::FoldThresholds { .. });
        let mut card = format!(
            "# Model card\n\n\
             **Research software, not a medical device.** Nothing here may be used to diagnose or treat anybody.\n\n\
             A pre-activation bottleneck ResNet that calls pictures of single cells {}, trained by malaria-resnet (recipe: {}).\n\n",
            figures.classes.join(" or "),
            self.recipe
        );
        if self.caveats.contains(&Caveat::DrawnCells) {
            card += &format!("{}\n\n", Caveat::ModelOfDrawnCells);
        }
        card += &format!("## Figures\n\n{judged_on} Protocol: {}.\n\n", protocol_note(self.protocol));
        card += "| | value | 95 % interval over patients |\n| --- | --- | --- |\n";
        for row in headlines(figures, assessment) {
            let (value, interval) = ((row.show)(row.value), row.interval(row.over_patients));
            card += &format!("| {} | {value} | {interval} |\n", row.label);
        }
        card += &format!(
            "| Accuracy by the most probable class | {} | |\n",
            percent(Some(figures.accuracy_argmax))
        );
        card += &format!("\n{positive} is the positive class. {}\n", decision_words(self.rule, positive));
        for caveat in self.caveats {
            card += &format!("\n- {caveat}");
        }
        card += "\n\nWhat a call is worth where few cells are infected, as in a smear:\n\n";
        card += "\
                 | infected cells | positive predictive value | negative predictive value |\n| --- | --- | --- |\n";
        for at in &assessment.at_prevalence {
            card += &format!(
                "| {} | {} | {} |\n",
                percent(Some(at.prevalence)),
                percent(at.ppv),
                percent(at.npv)
            );
        }
        if let Some(roll_up) = &assessment.roll_up {
            let PatientFigures { infected, healthy, .. } = &roll_up.as_they_are;
            card += &format!(
                "\nPatients, called by all their cells: of {} infected ones {} are called positive and {} negative, of {} healthy \
                 ones {} negative and {} positive; the others stay undecided. Negative says that fewer than {} of the cells are \
                 infected, not that none is.\n",
                infected.total(),
                infected.positive,
                infected.negative,
                healthy.total(),
                healthy.negative,
                healthy.positive,
                percent(Some(roll_up.rule.relevant_share))
            );
            for sample in &roll_up.resampled {
                card += &format!(
                    "Of smears of {} cells, {} of them infected, as these patients' cells let expect them, {} of {} are called positive and {} negative.\n",
                    sample.cells,
                    percent(Some(sample.infected_share)),
                    sample.figures.infected.positive,
                    sample.figures.infected.total(),
                    sample.figures.infected.negative,
                );
            }
            card += if cross_validated {
                "How often cells are called wrong is taken as known here, from the patients of the other folds; in the limits below, \
                 from those of all.\n"
            } else {
                "How often cells are called wrong is taken as known here, from the cells that the threshold was chosen on.\n"
            };
            card += "\nThe least share of infected cells at which a patient is found in 95 of 100 cases:\n\n\
                     | cells counted | infected cells |\n| --- | --- |\n";
            for limit in &roll_up.detection_limits {
                card += &format!("| {} | {} |\n", limit.cells, percent(limit.infected_share));
            }
        }
        card += &format!(
            "\n## Intended use and limits\n\n\
             - For research on the classification of single, segmented red blood cells from Giemsa-stained thin smears.\n\
             - It judges cells, not smears: finding and cutting out the cells is not part of it.\n\
             - {infected} of the cells it was judged on are infected; {few}\n\
             - Other microscopes, stains, cameras, species and patients than those it has learned from: {OPEN}\n\n\
             ## Data\n\n{learned_from}\n\n\
             Pictures are brought to {pixels}x{pixels} px (`{}`), RGB in [0, 1].\n\n\
             ## Checklist\n\n\
             Items of STARD 2015 (S) and TRIPOD+AI 2024 (T) that a run can fill in, and those that it cannot.\n\n\
             | item | content |\n| --- | --- |\n",
            image.resize,
            pixels = image.pixels,
            infected = percent(positive_share(figures)),
            few = match self.even_odds() {
                Some(share) => {
                    format!("where fewer than {} are, most positive calls are false.", percent(Some(share)))
                }
                None => "where few are, as in a smear, more positive calls are false.".to_owned(),
            },
        );
        let open = || OPEN.to_owned();
        let weights =
            "weights in weights.safetensors, every setting in config.json, each cell's side in split.csv";
        let items: [(&str, String); 21] = [
            ("Title and abstract (S1, S2; T1, T2)", open()),
            ("Intended use and objectives (S3, S4; T3, T4)", open()),
            ("Source of the data, setting, dates (S5, S8; T5)", format!("{learned_from} {OPEN}")),
            ("Eligibility and recruitment of patients (S6, S7, S9; T6)", open()),
            (
                "Preparation of the data (T7)",
                format!("brought to {0}x{0} px (`{1}`)", image.pixels, image.resize),
            ),
            ("Index test and predictors (S10a; T9)", format!("this model on one picture; {weights}")),
            (
                "Reference standard, and who applied it (S10b, S11; T8)",
                format!("the folder that a cell lies in; {OPEN}"),
            ),
            (
                "Cut-off, and how it was chosen (S12a; T15)",
                match self.rule.stored() {
                    Some(threshold) => threshold.note(positive),
                    None => Caveat::NoThreshold.to_string(),
                },
            ),
            (
                "Cut-off of the reference standard (S12b)",
                "none: a cell is of the class whose folder it lies in".to_owned(),
            ),
            ("Blinding of readers (S13)", open()),
            (
                "Methods for estimating accuracy (S14; T12)",
                format!(
                    "confusion matrix and ROC curve; 95 % intervals by a bootstrap over {} patients (cells of unknown patients each by \
                     itself) with {} resamples",
                    assessment.n_patients, assessment.intervals.bootstrap.resamples
                ),
            ),
            (
                "Indeterminate results (S15)",
                match assessment.roll_up {
                    Some(_) => "a patient who is undecided counts as an error",
                    None => "every cell is called; patients are not",
                }
                .to_owned(),
            ),
            (
                "Missing data (S16; T11)",
                format!(
                    "pictures that could not be read and were left out: {}; judged cells of no known patient: {}",
                    self.missing, assessment.cells_without_patient
                ),
            ),
            (
                "Sample size (S18; T10)",
                format!("{} cells judged, of {}; {OPEN}", figures.n, assessment.patients()),
            ),
            ("Class imbalance (T13)", "classes as they are in the data; none weighted".to_owned()),
            ("Training against evaluation (T16)", protocol_note(self.protocol).to_owned()),
            ("Participants and their flow (S19-S22; T20)", open()),
            (
                "Cross tabulation and performance (S23, S24; T23)",
                format!(
                    "figures above; rows true, columns called, in the order {}: {:?}",
                    figures.classes.join(", "),
                    Vec::<Vec<u64>>::from(figures.confusion.clone())
                ),
            ),
            ("Model (T21, T22)", format!("{:?}; recipe: {}", self.network, self.recipe)),
            (
                "Variability, fairness, adverse events, limits, use in practice (S17, S25-S27; T14, T24-T27)",
                open(),
            ),
            ("Ethics, registration, protocol, funding, involvement (S28-S30; T17-T19)", open()),
        ];
        for (item, content) in items {
            card += &format!("| {item} | {} |\n", content.replace('|', "\\|"));
        }
        card += &format!("\n## How it was made\n\n```\n{command}\n```\n\n| | |\n| --- | --- |\n");
        for [name, value] in &self.made {
            card += &format!("| {name} | {} |\n", value.replace('|', "\\|"));
        }
        card
    }

    /// The share of infected cells at which half of the positive calls are false; `None` where no false alarm was seen.
    fn even_odds(&self) -> Option<f64> {
        let (sensitivity, specificity) = (self.figures.sensitivity?, self.figures.specificity?);
        let false_alarms = 1.0 - specificity;
        Some(false_alarms / (false_alarms + sensitivity)).filter(|&share| share > 0.0)
    }
}
