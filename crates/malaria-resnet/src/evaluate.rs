//! Evaluates a trained model on a labelled folder.

use std::path::{Path, PathBuf};

use malaria_classifier::{
    Assessment, Caveat, DecisionRule, GroundTruth, ImageConfig, PredictiveValues, RuleKind, Scored,
    SmearDecision, Threshold, protocol_note, write_predictions,
};
use malaria_dataset::{
    Duplicate, Index, Loaded, PatientNames, Protocol, Split, Subset, UnknownPatients, duplicates,
    read_manifest,
};
use malaria_metrics::Summary;
use malaria_report::{Picture, Report, evaluation_section};
use malaria_train::CellTensors;
use serde::Serialize;
use tch::Device;

use crate::{
    classifier::Classifier,
    data_folder::{check_classes, decode_index},
    data_summary::skipped_images,
    error::{Error, Result},
    history_plot::epoch_point,
    pictures::{mistakes, warnings},
    progress::{Listener, Progress},
    run::{
        dir::RunDir,
        lineage::{Lineage, lineage, seen_by},
        metrics::machine,
    },
};

/// Largest share of pictures with a warning that needs no caveat. Of the training cells, up to 0.5 % have a warning.
const MAX_UNLIKE: f64 = 0.02;
/// An area under the ROC curve below this suggests exchanged class folders rather than a bad model.
const MAX_EXCHANGED_AUC: f64 = 0.2;

/// Which cells of a folder a model is evaluated on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, strum::EnumString)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum EvaluatedOn {
    /// The run's own test set.
    Test,
    /// Every cell of the folder.
    All,
}

/// What to evaluate, and which files to write.
#[derive(Clone, Copy, Debug)]
pub struct EvaluateOptions<'a> {
    /// The run directory.
    pub run: &'a Path,
    /// The labelled folder.
    pub data: &'a Path,
    /// Source of the patients of its cells; `None` for split.csv if the folder is the run's own, otherwise for
    /// [`PatientNames::Nlm`].
    pub patients: Option<&'a PatientNames>,
    /// Which of its cells; `None` for the run's test set if the folder is the run's own, otherwise for all.
    pub evaluated_on: Option<EvaluatedOn>,
    /// Device of the tensors.
    pub device: Device,
    /// Average the probabilities over four mirror images of each cell.
    pub flips: bool,
    /// Skip unreadable images.
    pub skip_corrupt: bool,
    /// Shares of infected cells, fractions, at which predictive values are reported; 0.1 % to 5 % where empty.
    pub prevalences: &'a [f64],
    /// Where to write the predictions, as CSV.
    pub predictions: Option<&'a Path>,
    /// Where to write the page of results, as HTML.
    pub report: Option<&'a Path>,
    /// The command that started the evaluation, which the page shows.
    pub command: &'a str,
}

/// A model's metrics on a labelled folder, as `evaluate --json` writes them.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluationReport {
    /// The run directory.
    pub run: PathBuf,
    /// The labelled folder.
    pub data: PathBuf,
    /// Which of its cells were evaluated.
    pub evaluated_on: EvaluatedOn,
    /// How the run's own cells were split.
    pub protocol: Protocol,
    /// Whether the model was trained on synthetic cells, so that its predictions for real cells mean nothing.
    pub synthetic_cells: bool,
    /// Evaluated cells in the training or validation set of the model, of its initial weights or of its teacher; they inflate
    /// the metrics.
    pub seen_in_training: usize,
    /// Parent runs of the model, through its initial weights or its teacher, that can no longer be read: they may have been
    /// trained on the evaluated cells.
    pub missing_parents: Vec<PathBuf>,
    /// Groups of pictures with the same pixels, at least one of which is evaluated: paths in the folder.
    pub copies: Vec<Vec<String>>,
    /// Those of these groups in folders of more than one class, so that a label is wrong.
    pub doubly_labelled: Vec<Vec<String>>,
    /// Evaluated pictures that are photographs or unlike the training cells, which `predict` refuses or warns about: path and
    /// warning.
    pub warnings: Vec<String>,
    /// Unreadable images that were skipped: path and reason.
    pub skipped: Vec<String>,
    /// The folder's cells of unknown patients, if there are any.
    pub unknown_patients: Option<UnknownPatients>,
    /// Files in the folder that are not images.
    pub ignored: Vec<String>,
    /// Results that could not be written, and why.
    pub unwritten: Vec<String>,
    /// The files of [`EvaluateOptions::predictions`] and [`EvaluateOptions::report`] that were written.
    #[serde(skip)]
    pub written: Vec<PathBuf>,
    /// Whether probabilities are means over four mirror images.
    pub flips: bool,
    /// The decision threshold, if the model has one.
    pub threshold: Option<Threshold>,
    /// How cells were called.
    pub decision_rule: RuleKind,
    /// Caveats of the metrics.
    pub caveats: Vec<Caveat>,
    /// The metrics.
    #[serde(flatten)]
    pub metrics: Summary,
    /// Confidence intervals, predictive values and patient-level results.
    #[serde(flatten)]
    pub assessment: Assessment,
}

/// Evaluates the model of a run on a labelled folder.
///
/// The run's own cells are recognised by their bytes, even if they were renamed or copied.
///
/// ```no_run
/// use std::path::Path;
///
/// use malaria_resnet::{EvaluateOptions, evaluate, libtorch::DeviceChoice};
///
/// let options = EvaluateOptions {
///     run: Path::new("runs/mine"),
///     data: Path::new("cells_of_another_clinic"),
///     patients: None,
///     evaluated_on: None,
///     device: DeviceChoice::Auto.resolve()?,
///     flips: false,
///     skip_corrupt: false,
///     prevalences: &[0.002],
///     predictions: None,
///     report: Some(Path::new("report.html")),
///     command: "my program",
/// };
/// let report = evaluate(options, &|_| {})?;
/// println!("AUC {:?}, 95 % interval {:?}", report.metrics.auc, report.assessment.intervals.auc);
/// # Ok::<(), malaria_resnet::Error>(())
/// ```
///
/// # Errors
/// [`Error::Config`] for a prevalence outside [0, 1]; [`Error::Classes`] when the folder's classes are not the model's;
/// [`Error::NoTestCell`] when the run's test set is to be evaluated and the folder has none of its cells; the errors of other
/// crates. Files that cannot be written are no error: [`EvaluationReport::unwritten`] lists them.
pub fn evaluate(options: EvaluateOptions<'_>, listener: Listener<'_>) -> Result<EvaluationReport> {
    if let Some(found) = options.prevalences.iter().find(|&&share| !(0.0..=1.0).contains(&share)) {
        let (field, expected) = ("prevalence", "a fraction, such as 0.02".to_owned());
        return Err(Error::Config { field, expected, found: found.to_string() });
    }
    let run = RunDir::open(options.run)?;
    let mut classifier = Classifier::load(options.run, options.device)?;
    classifier.flips = options.flips;
    let EvaluatedCells { loaded, chosen, evaluated_on, seen_in_training, missing_parents, new_patients } =
        EvaluatedCells::load(
            &run,
            &classifier.description.classes,
            classifier.description.image,
            LabelledFolder {
                path: options.data,
                patients: options.patients,
                skip_corrupt: options.skip_corrupt,
            },
            options.evaluated_on,
            listener,
        )?;
    let cells = CellTensors::of(&loaded, options.device)?;
    let total = chosen.len();
    let probabilities =
        classifier.probabilities(&cells, &chosen, &mut |done| listener(Progress::Testing { done, total }))?;
    let truth = GroundTruth::new(&loaded.index, &chosen);
    let scored = classifier.scored(&truth, &probabilities);
    let rule = DecisionRule::from(classifier.description.threshold);
    // The metrics are returned even if a file cannot be written.
    let (mut written, mut unwritten) = (Vec::new(), Vec::new());
    if let Some(path) = options.predictions {
        let subset = if evaluated_on == EvaluatedOn::Test { Subset::Test.to_string() } else { String::new() };
        let paths = chosen.iter().map(|&i| loaded.index.samples[i].path.as_str());
        match write_predictions(path, &scored, &rule, paths, ("subset", std::iter::repeat(subset))) {
            Ok(()) => written.push(path.to_owned()),
            Err(error) => unwritten.push(error.to_string()),
        }
    }
    // The error rates for calling patients hold only without mirror images.
    let stored = classifier.description.smear.clone().filter(|_| new_patients && !options.flips);
    let smears = stored.map(|stored| SmearDecision { stored, of_folds: None });
    let mut assessment = Assessment::of(&scored, &rule, smears.as_ref())?;
    let metrics = scored.known_metrics(&rule)?;
    let exchanged = scored.summary(&rule)?.auc.is_some_and(|auc| auc < MAX_EXCHANGED_AUC);
    if !options.prevalences.is_empty() {
        assessment.at_prevalence =
            PredictiveValues::of(&scored.counts_by_patient(&rule), options.prevalences)?;
    }
    let config = run.config()?;
    let copies = duplicates(
        &loaded.index,
        &loaded.pixel_fingerprints(),
        &Split { config: config.split, train: Vec::new(), validation: Vec::new(), test: chosen.clone() },
    );
    let of_chosen = |group: &&Duplicate| group.samples.iter().any(|i| chosen.binary_search(i).is_ok());
    let copies: Vec<&Duplicate> = copies.iter().filter(of_chosen).collect();
    let paths = |group: &&Duplicate| {
        group.samples.iter().map(|&i| loaded.index.samples[i].path.clone()).collect::<Vec<_>>()
    };
    let doubly_labelled: Vec<_> = copies.iter().filter(|group| group.across_classes).map(paths).collect();
    let copied = copies.iter().map(|group| group.samples.len() - 1).sum();
    let warnings = warnings(&classifier, &loaded, &chosen);
    let unlike = if warnings.len() as f64 > MAX_UNLIKE * chosen.len() as f64 { warnings.len() } else { 0 };
    let caveats = (config.data.is_none().then_some(Caveat::ModelOfSyntheticCells).into_iter())
        .chain((seen_in_training > 0).then_some(Caveat::SeenInTraining { cells: seen_in_training }))
        .chain(missing_parents.iter().map(|run| Caveat::ParentMissing { run: run.display().to_string() }))
        .chain(Caveat::of_pictures(copied, doubly_labelled.len(), unlike, chosen.len()))
        .chain(options.flips.then_some(Caveat::MirrorImages))
        .chain(exchanged.then_some(Caveat::ClassesExchanged))
        .chain(Caveat::of_classes(&scored))
        .chain(Caveat::of(&rule, false, &assessment))
        .collect();
    let mut report = EvaluationReport {
        run: options.run.to_owned(),
        data: options.data.to_owned(),
        evaluated_on,
        protocol: config.split.protocol,
        synthetic_cells: config.data.is_none(),
        seen_in_training,
        missing_parents,
        copies: copies.iter().map(paths).collect(),
        doubly_labelled,
        warnings,
        skipped: skipped_images(&loaded),
        unknown_patients: loaded.index.unknown_patients(),
        ignored: loaded.index.ignored.clone(),
        unwritten,
        written,
        flips: options.flips,
        threshold: classifier.description.threshold,
        decision_rule: rule.kind(),
        caveats,
        metrics,
        assessment,
    };
    if let Some(path) = options.report {
        let mistakes = mistakes(&classifier, scored, &rule, &loaded, &chosen)?;
        match report.page(&run, &classifier, scored, &rule, mistakes, options.command)?.write_page(path) {
            Ok(()) => report.written.push(path.to_owned()),
            Err(error) => report.unwritten.push(error.to_string()),
        }
    }
    Ok(report)
}

/// A folder of class folders, and how to read it.
pub(crate) struct LabelledFolder<'a> {
    pub(crate) path: &'a Path,
    /// As [`EvaluateOptions::patients`].
    pub(crate) patients: Option<&'a PatientNames>,
    pub(crate) skip_corrupt: bool,
}

/// The cells of a folder that a run's model is evaluated on.
pub(crate) struct EvaluatedCells {
    pub(crate) loaded: Loaded,
    /// Positions of the evaluated cells.
    pub(crate) chosen: Vec<usize>,
    pub(crate) evaluated_on: EvaluatedOn,
    /// Evaluated cells in the training or validation set of the run or of its parents.
    pub(crate) seen_in_training: usize,
    /// Parent runs that can no longer be read.
    pub(crate) missing_parents: Vec<PathBuf>,
    /// Whether the model is known not to have been trained on any of the patients. Different patients of two clinics may share a
    /// name; they count as one, which errs on the safe side.
    pub(crate) new_patients: bool,
}

impl EvaluatedCells {
    /// Decodes `folder` for a model with these `classes` and this input `image`.
    pub(crate) fn load(
        run: &RunDir,
        classes: &[String],
        image: ImageConfig,
        folder: LabelledFolder<'_>,
        evaluated_on: Option<EvaluatedOn>,
        listener: Listener<'_>,
    ) -> Result<Self> {
        let LabelledFolder { path: data, patients, skip_corrupt } = folder;
        let mut index = Index::open(data)?;
        check_classes(&index, classes)?;
        index.spell_classes(classes.iter().map(String::as_str));
        index.set_patients(patients.unwrap_or(&PatientNames::Nlm))?;
        let manifest = read_manifest(&run.split_path())?;
        let mut loaded = decode_index(index, image, skip_corrupt, listener)?;
        let own = manifest.describes(&loaded.index, &loaded.fingerprints);
        if own && patients.is_none() {
            manifest.align(&mut loaded)?;
        }
        let subsets = manifest.match_index(&loaded.index, &loaded.fingerprints)?;
        let tested = own && subsets.contains(&Some(Subset::Test));
        let evaluated_on = evaluated_on.unwrap_or(if tested { EvaluatedOn::Test } else { EvaluatedOn::All });
        let chosen: Vec<usize> = (0..loaded.cells.len())
            .filter(|&i| evaluated_on == EvaluatedOn::All || subsets[i] == Some(Subset::Test))
            .collect();
        if chosen.is_empty() {
            return Err(Error::NoTestCell { path: data.to_owned() });
        }
        // Patients are not called for a model with initial weights or with a parent run that cannot be read.
        let Lineage { manifests, missing_parents } = lineage(run.path());
        let seen_in_training = seen_by(&manifests, &loaded, &chosen)?;
        let mut shared = false;
        for manifest in &manifests {
            let subsets = manifest.match_index(&loaded.index, &loaded.fingerprints)?;
            shared |= manifest.shares_patients(&loaded.index, &subsets, &chosen);
        }
        let new_patients = run.config()?.init.is_none() && missing_parents.is_empty() && !shared;
        Ok(Self { loaded, chosen, evaluated_on, seen_in_training, missing_parents, new_patients })
    }
}

impl EvaluationReport {
    /// The page of results.
    fn page<'a>(
        &'a self,
        run: &RunDir,
        classifier: &Classifier,
        scored: Scored<'a>,
        rule: &'a DecisionRule,
        mistakes: Vec<Picture>,
        command: &str,
    ) -> Result<Report<'a>> {
        let summary = vec![match self.evaluated_on {
            EvaluatedOn::Test => format!(
                "Tested on the run's own test set, {} cells of {}. Protocol: {}.",
                self.metrics.n,
                self.assessment.patients(),
                protocol_note(self.protocol)
            ),
            EvaluatedOn::All => {
                format!(
                    "Tested on all {} cells of the folder, of {}.",
                    self.metrics.n,
                    self.assessment.patients()
                )
            }
        }];
        let row = |name: &str, value: String| [name.to_owned(), value];
        let config = run.config()?;
        // A model may be distributed without its training history.
        let history = if run.history_path().is_file() {
            run.history()?.iter().map(epoch_point).collect()
        } else {
            Vec::new()
        };
        Ok(Report {
            title: "Evaluation of a trained model".to_owned(),
            summary,
            caveats: &self.caveats,
            scored,
            rule,
            metrics: &self.metrics,
            assessment: &self.assessment,
            history,
            history_of: Some("The history of the model's own training run.".to_owned()),
            mistakes,
            augmentation: Vec::new(),
            more: vec![evaluation_section(&scored)],
            made: vec![
                row("malaria-resnet", env!("CARGO_PKG_VERSION").to_owned()),
                row("libtorch", malaria_libtorch::LIBTORCH_VERSION.to_owned()),
                row("Device", malaria_libtorch::describe(classifier.model().device())),
                row("Model", self.run.display().to_string()),
                row("Recipe of the model", config.recipe_label()),
                row("Seed of the model", config.train.seed.to_string()),
                row("Cells", self.data.display().to_string()),
                row("Images skipped", self.skipped.len().to_string()),
                row("Files that are not images", self.ignored.len().to_string()),
                row("Machine", machine()),
            ],
            command: command.to_owned(),
        })
    }
}
