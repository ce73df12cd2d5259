//! A trained model on a labelled folder.

use std::path::{Path, PathBuf};

use malaria_classifier::{
    Assessment, AtPrevalence, Caveat, DecisionRule, GroundTruth, ImageConfig, RuleKind, Scored, Threshold,
    protocol_note, write_predictions,
};
use malaria_dataset::{CorruptPolicy, Index, Loaded, Protocol, Subset, read_manifest};
use malaria_metrics::{BinaryCounts, Summary};
use malaria_report::{Picture, Report, evaluation_section};
use malaria_train::CellTensors;
use serde::Serialize;
use tch::Device;

use crate::{
    classifier::Classifier,
    data::decode_index,
    error::{Error, Result},
    history::epoch_point,
    pictures::mistakes,
    progress::{Listener, Progress},
    run::{
        dir::RunDir,
        lineage::{Lineage, lineage, seen_by},
        record::machine,
    },
    summary::reason,
};

/// Which cells of a folder a model is evaluated on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum EvaluatedOn {
    /// The run's own test set.
    Test,
    /// Every cell of the folder.
    All,
}

/// What to evaluate, and where to write it.
#[derive(Clone, Copy, Debug)]
pub struct EvaluateOptions<'a> {
    /// The run directory.
    pub run: &'a Path,
    /// The labelled folder.
    pub data: &'a Path,
    /// Which of its cells; `None` for the run's test set where the folder is the run's own, all otherwise.
    pub evaluated_on: Option<EvaluatedOn>,
    /// Where tensors live.
    pub device: Device,
    /// Show each cell in four mirror images and take the mean of the probabilities.
    pub flips: bool,
    /// Leave out images that cannot be read.
    pub skip_corrupt: bool,
    /// Shares of infected cells, fractions, that predictive values are told at; a tenth of a per cent to 5 % where empty.
    pub prevalences: &'a [f64],
    /// Where to write what the model says of each cell.
    pub predictions: Option<&'a Path>,
    /// Where to write the page of figures.
    pub report: Option<&'a Path>,
    /// The command that asked for it, for the record.
    pub command: &'a str,
}

/// A model's figures on a labelled folder, as `evaluate --json` writes them.
#[derive(Clone, Debug, Serialize)]
pub struct EvaluationReport {
    /// The run directory.
    pub run: PathBuf,
    /// The labelled folder.
    pub data: PathBuf,
    /// Which of its cells were evaluated.
    pub evaluated_on: EvaluatedOn,
    /// How the run divided its own cells.
    pub protocol: Protocol,
    /// Whether the model has learned from synthetic cells, so that its calls of others mean nothing.
    pub synthetic_cells: bool,
    /// EvaluatedOn cells that the model, the one it started from or its teacher has learned from, or whose epoch was chosen on them: figures
    /// with such cells in them are too good.
    pub seen_in_training: usize,
    /// Runs that the model comes from, as its first weights or its teacher, that cannot be read any more: they may have learned from the
    /// evaluated cells.
    pub missing_parents: Vec<PathBuf>,
    /// Images left out since they cannot be read: path and reason.
    pub skipped: Vec<String>,
    /// Files in the folder that are not images.
    pub ignored: usize,
    /// Whether each cell was shown in four mirror images.
    pub flips: bool,
    /// From which probability on a cell is called positive, where that was chosen.
    pub threshold: Option<Threshold>,
    /// How cells were called in the figures.
    pub decision_rule: RuleKind,
    /// What to read the figures with.
    pub caveats: Vec<Caveat>,
    /// The figures.
    #[serde(flatten)]
    pub figures: Summary,
    /// How sure they are, and what they mean for patients.
    #[serde(flatten)]
    pub assessment: Assessment,
}

/// Evaluates the model of a run on a labelled folder.
///
/// Cells are recognised as the run's own by their bytes, so that renamed or copied ones are too.
///
/// ```no_run
/// use std::path::Path;
///
/// use malaria_resnet::{EvaluateOptions, evaluate, libtorch::DeviceChoice};
///
/// let options = EvaluateOptions {
///     run: Path::new("runs/mine"),
///     data: Path::new("cells_of_another_clinic"),
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
/// println!("AUC {:?}, 95 % interval {:?}", report.figures.auc, report.assessment.intervals.auc);
/// # Ok::<(), malaria_resnet::Error>(())
/// ```
///
/// # Errors
/// [`Error::Config`] for a prevalence that is no fraction, [`Error::Classes`] when the folder's classes are not the model's, [`Error::NoTestCell`] when the run's test set is
/// asked for and not there; the other crates' own.
pub fn evaluate(options: EvaluateOptions<'_>, listener: Listener<'_>) -> Result<EvaluationReport> {
    if let Some(found) = options.prevalences.iter().find(|&&share| !(0.0..=1.0).contains(&share)) {
        let (field, expected) = ("prevalence", "a fraction, such as 0.02".to_owned());
        return Err(Error::Config { field, expected, found: found.to_string() });
    }
    let run = RunDir::open(options.run)?;
    let mut classifier = Classifier::load(options.run, options.device)?;
    classifier.flips = options.flips;
    let corrupt = if options.skip_corrupt { CorruptPolicy::Skip } else { CorruptPolicy::Fail };
    let (data, evaluated_on) = (options.data, options.evaluated_on);
    let EvaluatedCells { loaded, chosen, evaluated_on, seen_in_training, gone, new_patients } =
        EvaluatedCells::load(
            &run,
            &classifier.classes,
            classifier.image,
            data,
            evaluated_on,
            corrupt,
            listener,
        )?;
    let cells = CellTensors::of(&loaded, options.device)?;
    let total = chosen.len();
    let probabilities =
        classifier.probabilities(&cells, &chosen, &mut |done| listener(Progress::Testing { done, total }))?;
    let truth = GroundTruth::new(&loaded.index, &chosen);
    let scored = classifier.scored(&truth, &probabilities);
    let rule = DecisionRule::from(classifier.threshold);
    if let Some(path) = options.predictions {
        let subset = if evaluated_on == EvaluatedOn::Test { Subset::Test.to_string() } else { String::new() };
        let paths = chosen.iter().map(|&i| loaded.index.samples[i].path.as_str());
        write_predictions(path, &scored, &rule, paths, ("subset", std::iter::repeat(subset)))?;
    }
    // How often cells are called wrong is known without mirror images only.
    let mut assessment = Assessment::of(&scored, &rule, new_patients && !options.flips)?;
    let figures = scored.summary(&rule)?;
    if !options.prevalences.is_empty() {
        let counts = BinaryCounts::of_class(&figures.confusion, scored.positive)?;
        assessment.at_prevalence = AtPrevalence::of(&counts, options.prevalences)?;
    }
    let config = run.config()?;
    let mut caveats = Vec::new();
    if config.data.is_none() {
        caveats.push(Caveat::ModelOfSyntheticCells);
    }
    if seen_in_training > 0 {
        caveats.push(Caveat::SeenInTraining { cells: seen_in_training });
    }
    caveats.extend(gone.iter().map(|run| Caveat::ParentMissing { run: run.clone() }));
    if options.flips {
        caveats.push(Caveat::MirrorImages);
    }
    caveats.extend(Caveat::of(&rule, false, &assessment));
    let report = EvaluationReport {
        run: options.run.to_owned(),
        data: options.data.to_owned(),
        evaluated_on,
        protocol: config.split.protocol,
        synthetic_cells: config.data.is_none(),
        seen_in_training,
        missing_parents: gone,
        skipped: loaded.skipped.iter().map(reason).collect(),
        ignored: loaded.index.ignored,
        flips: options.flips,
        threshold: classifier.threshold,
        decision_rule: rule.kind(),
        caveats,
        figures,
        assessment,
    };
    if let Some(path) = options.report {
        let mistakes = mistakes(&classifier, scored, &rule, &loaded, &chosen)?;
        report.page(&run, &classifier, scored, &rule, mistakes, options.command)?.write_page(path)?;
    }
    Ok(report)
}

/// The cells of a folder that a run's model is evaluated on.
pub(crate) struct EvaluatedCells {
    pub(crate) loaded: Loaded,
    /// Positions of those that are evaluated.
    pub(crate) chosen: Vec<usize>,
    pub(crate) evaluated_on: EvaluatedOn,
    /// How many of them the model, or one that it comes from, has learned from, or was chosen by.
    pub(crate) seen_in_training: usize,
    /// Runs that it comes from which tell nothing any more.
    pub(crate) gone: Vec<PathBuf>,
    /// Whether none of them is known to be of a patient whom the model has learned from. Names of patients may be those of others
    /// elsewhere; then too little is said rather than too much.
    pub(crate) new_patients: bool,
}

impl EvaluatedCells {
    /// Decodes `data` for a model of these `classes` that wants its pictures like `image`.
    pub(crate) fn load(
        run: &RunDir,
        classes: &[String],
        image: ImageConfig,
        data: &Path,
        evaluated_on: Option<EvaluatedOn>,
        corrupt: CorruptPolicy,
        listener: Listener<'_>,
    ) -> Result<Self> {
        let index = Index::open(data)?;
        if index.classes != classes {
            let (expected, found) = (classes.to_vec(), index.classes);
            return Err(Error::Classes { path: data.to_owned(), expected, found });
        }
        let manifest = read_manifest(&run.split_path())?;
        let loaded = decode_index(index, image, corrupt, listener)?;
        let subsets = manifest.match_index(&loaded.index, &loaded.fingerprints)?;
        let own = manifest.resolve(&loaded.index, &loaded.fingerprints).is_ok();
        let tested = own && subsets.contains(&Some(Subset::Test));
        let evaluated_on = evaluated_on.unwrap_or(if tested { EvaluatedOn::Test } else { EvaluatedOn::All });
        let chosen: Vec<usize> = (0..loaded.cells.len())
            .filter(|&i| evaluated_on == EvaluatedOn::All || subsets[i] == Some(Subset::Test))
            .collect();
        if chosen.is_empty() {
            return Err(Error::NoTestCell { path: data.to_owned() });
        }
        // What a run has learned from, its folder tells. Where one does not any more, or training went on from other weights, patients are
        // not called.
        let Lineage { manifests, gone } = lineage(run.path());
        let seen_in_training = seen_by(&manifests, &loaded, &chosen)?;
        let shared = manifests.iter().any(|learned| learned.shares_patients(&loaded.index, &chosen));
        let new_patients = run.config()?.init.is_none() && gone.is_empty() && !shared;
        Ok(Self { loaded, chosen, evaluated_on, seen_in_training, gone, new_patients })
    }
}

impl EvaluationReport {
    /// The page of these figures.
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
                "The run's own test set: {} cells of {}. Protocol: {}.",
                self.figures.n,
                self.assessment.patients(),
                protocol_note(self.protocol)
            ),
            EvaluatedOn::All => {
                format!("All {} cells of the folder, of {}.", self.figures.n, self.assessment.patients())
            }
        }];
        let row = |name: &str, value: String| [name.to_owned(), value];
        let config = run.config()?;
        // A model that is handed on may come without it.
        let history = if run.history_path().is_file() {
            run.history()?.iter().map(epoch_point).collect()
        } else {
            Vec::new()
        };
        Ok(Report {
            title: format!("{} on {}", self.run.display(), self.data.display()),
            summary,
            caveats: &self.caveats,
            scored,
            rule,
            figures: &self.figures,
            assessment: &self.assessment,
            history,
            history_of: Some("Of the run that the model comes from.".to_owned()),
            mistakes,
            augmentation: Vec::new(),
            more: vec![evaluation_section(&scored)],
            made: vec![
                row("malaria-resnet", env!("CARGO_PKG_VERSION").to_owned()),
                row("libtorch", malaria_libtorch::LIBTORCH_VERSION.to_owned()),
                row("Device", malaria_libtorch::describe(classifier.model().device())),
                row("Model", self.run.display().to_string()),
                row("Recipe of the model", config.recipe_words()),
                row("Seed of the model", config.train.seed.to_string()),
                row("Cells", self.data.display().to_string()),
                row("Images left out", self.skipped.len().to_string()),
                row("Files that are not images", self.ignored.to_string()),
                row("Machine", machine()),
            ],
            command: command.to_owned(),
        })
    }

    /// Writes the report as JSON.
    ///
    /// # Errors
    /// [`Error::File`]; an older file of that name then stays.
    pub fn write(&self, path: &Path) -> Result<()> {
        Ok(malaria_files::write_json(path, self)?)
    }
}
