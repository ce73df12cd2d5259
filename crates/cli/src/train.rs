//! `malaria train`: trains a cell classifier and evaluates it on its test set.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, anyhow, bail};
use malaria_resnet::{
    Classifier, Context, Error, ExperimentConfig, Listener, NewPaths, Progress, RunDir, count_smears,
    dataset::{self, PatientNames, Protocol, SmearConfig, SmearKind, list_images, write_synthetic_smear},
    plot_history, protocol_note, provenance,
    report::check_figure_path,
    resume,
    smear::{CountOptions, FieldCount},
    train,
    train::Outcome,
};
use serde_json::json;

use crate::{
    NOTICE, PROGRAM,
    advice::with_advice,
    console::{Console, Style},
    download::{fetch, stopped},
    json::Json,
    settings::Settings,
    terminal::{STOP, check_file, command, resume_command, stop_on_signal},
    words,
};

/// Train a malaria cell classifier, evaluate it on its test set, and write everything to a run directory.
///
/// DATA is a folder of class folders, such as NLM's cell_images with Parasitized and Uninfected in it, or a tree of
/// training, validation and testing made by malaria build-dataset. Without --data, the cells are those of MALARIA_DATA or
/// ./cell_images, or else synthetic, whose metrics say nothing about malaria.
#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  malaria train --data cell_images                      the fast recipe, random split
  malaria train --data cell_images --split patient      each patient in one set only
  malaria train --data dataset --recipe tutorial --epochs 50 --plot plot.png
  malaria train --resume runs/fast-random-seed0         resume an interrupted run
  malaria train --resume copied/run --data /mnt/cells   resume it where run and cells have other paths

Next:
  malaria predict --run runs/fast-random-seed0 some_cell.png", after_help = NOTICE)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Split into training, validation and test set: by cells at `random`, by whole `patient`s, `given` by a tree of malaria
    /// build-dataset, or `all` to train on every cell and test on none [default: given for such a tree, else random]
    #[arg(long, value_name = "random|patient|given|all")]
    split: Option<Protocol>,
    /// Fetch NLM's data set (27,558 cells, about 350 MB) into ./cell_images first, if it is not there
    #[arg(long, conflicts_with = "data")]
    download: bool,
    /// Fetch it from this URL instead; several are tried in turn
    #[arg(long, value_name = "URL", requires = "download")]
    url: Vec<String>,
    /// Run directory to create [default: runs/RECIPE-SPLIT-seedN, numbered if it exists]
    #[arg(long, value_name = "RUN_DIR")]
    out: Option<PathBuf>,
    /// Resume the run in this directory, the folder that an earlier `malaria train` wrote, with its own settings. If folders
    /// have moved, give their new paths with --data, --init and --teacher; their cells and weights must be unchanged
    #[arg(long, value_name = "RUN_DIR", conflicts_with_all = ["patient_pattern", "patients", "download", "out", "recipe", "split",
        "epochs", "batch_size", "lr", "seed", "device", "precision", "threads", "config", "teacher_weight", "positive",
        "target_sensitivity", "target_specificity", "exclude", "calibrate", "skip_corrupt"])]
    resume: Option<PathBuf>,
    /// Also write the plot of loss and accuracy by epoch to this file (.png or .svg)
    #[arg(long, value_name = "PATH")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    json: Json,
    /// How progress is shown
    #[arg(long, value_enum, default_value = "auto")]
    progress: Style,
}

pub(crate) fn run(mut args: Args) -> Result<ExitCode> {
    let console = Console::new(args.progress);
    console.check(&args.json)?;
    if let Some(path) = &args.plot {
        check_figure_path(path)?;
        check_file(path, &["png", "svg"])?;
    }
    if !args.url.is_empty() && !args.download {
        bail!("--url is the address for --download: give both, or neither");
    }
    stop_on_signal("saving")?;
    let command = command();
    let listener = |progress: Progress<'_>| console.show(progress);
    let context = Context { command: &command, stop: &STOP, listener: &listener };

    let summary = match &args.resume {
        Some(run) => {
            let Settings { data, init, teacher, .. } = &args.settings;
            let moved =
                NewPaths { data: data.as_deref(), init: init.as_deref(), teacher: teacher.as_deref() };
            resume(run, moved, context).map_err(|error| with_resume(error, run))?
        }
        None => {
            if args.download {
                match fetch(&args.url, &console) {
                    Ok(folder) => args.settings.data = Some(folder),
                    Err(error) => return stopped(error, &console),
                }
            }
            let config = args.settings.experiment(args.split)?;
            if config.data.is_none() {
                console.say(words::SYNTHETIC);
            }
            let out = args.out.clone().map_or_else(|| create_run_dir(&config), Ok)?;
            train(&config, &out, context).map_err(|error| {
                if args.out.is_none() {
                    // Fails, as intended, if a run was started or if there are other runs.
                    let _ = fs::remove_dir(&out).and_then(|()| fs::remove_dir("runs"));
                }
                with_resume(error, &out)
            })?
        }
    };
    if summary.outcome == Outcome::Interrupted {
        console.say(&format!("stopped and saved; resume with: {}", resume_command(summary.run.path())));
        let event = json!({ "event": "interrupted", "run": summary.run.path() });
        console.event(&event);
        return Ok(ExitCode::from(130));
    }
    let mut text = match &summary.metrics {
        Some(metrics) => words::test_set(metrics)?,
        None => format!("\n{}\n", protocol_note(Protocol::All)),
    };
    let plotted = args.plot.as_ref().map_or(Ok(()), |path| plot_history(&summary.run, path));
    let mut files = summary.files.clone();
    if summary.run.config()?.data.is_none() {
        // A failure here must not lose the finished training.
        match count_synthetic_smear(&summary.run, &listener) {
            Ok((words, annotated)) => {
                text += &words;
                files.push(annotated);
            }
            Err(error) => text += &format!("The synthetic smear could not be counted: {error}\n"),
        }
    }
    text += "Research software, not a medical device.\n\nwritten:";
    let plot = args.plot.iter().filter(|_| plotted.is_ok());
    files.iter().chain(plot).for_each(|file| text += &format!("\n  {}", file.display()));
    let document = json!({ "run": summary.run.path(), "metrics": summary.metrics, "files": files });
    console.result(&args.json, &text, &document)?;
    plotted?;
    Ok(ExitCode::SUCCESS)
}

/// Generates a smear and counts its cells with the model of `run`, which was trained on synthetic cells. Returns the result
/// as text and the annotated picture.
fn count_synthetic_smear(run: &RunDir, listener: Listener<'_>) -> Result<(String, PathBuf)> {
    let photo = run.path().join("drawn-smear.png");
    let out = run.path().join("drawn-smear");
    if out.exists() {
        // Left by the same run before it was resumed.
        fs::remove_dir_all(&out)?;
    }
    let drawn = write_synthetic_smear(&photo, &SmearConfig { parasitaemia: 0.1, ..SmearConfig::default() })?;
    let classifier = Classifier::load(run.path(), run.config()?.device.resolve()?)?;
    let photos = list_images(&[photo], &PatientNames::Nlm)?.images;
    let options = CountOptions {
        out: Some(out.clone()),
        made_by: provenance(run.path(), PROGRAM)?,
        ..CountOptions::default()
    };
    let report = count_smears(&classifier, &photos, &options, listener)?;
    if let Some(error) = report.photographs.iter().find_map(|photo| photo.error.as_ref()) {
        bail!("{error}");
    }
    let sum = |of: fn(&FieldCount) -> u64| report.photographs.iter().map(of).sum::<u64>();
    let drawn =
        |wanted: fn(SmearKind) -> bool| drawn.objects.iter().filter(|object| wanted(object.kind)).count();
    let words = format!(
        "A synthetic smear: {} red cells, {} of them infected; counted {} and {}.\n",
        drawn(SmearKind::is_red_cell),
        drawn(|kind| kind == SmearKind::Infected),
        sum(|field| field.red_cells),
        sum(|field| field.infected),
    );
    Ok((words, out.join("annotated/drawn-smear.jpg")))
}

/// Whether the error would recur if the run were resumed.
pub(crate) fn would_recur(error: &Error) -> bool {
    match error {
        Error::RunDir { .. } | Error::Taken { .. } => true,
        Error::Format { oldest, found, .. } => *found < u64::from(*oldest),
        // A run that diverged would diverge again.
        Error::Train(error) => matches!(
            error,
            train::Error::NonFiniteLoss { .. }
                | train::Error::NonFiniteWeights { .. }
                | train::Error::NonFiniteValidation { .. }
        ),
        _ => false,
    }
}

/// Adds the command that resumes the run to the error that ended it.
fn with_resume(error: Error, run: &Path) -> anyhow::Error {
    if would_recur(&error) || !run.join("config.json").is_file() {
        return error.into();
    }
    let moved = match &error {
        Error::Dataset(dataset::Error::Path { .. } | dataset::Error::DataChanged { .. }) => "--data",
        Error::Config { field: "init", .. } => "--init",
        Error::Config { field: "teacher", .. } => "--teacher",
        _ => "",
    };
    let moved =
        if moved.is_empty() { String::new() } else { format!(" (if it was moved, with {moved} FOLDER)") };
    anyhow!("{}\nonce that is fixed, resume with: {}{moved}", with_advice(&error), resume_command(run))
}

/// Creates `runs/RECIPE-SPLIT-seedN`, or the first of `-2`, `-3`, … that does not exist.
fn create_run_dir(config: &ExperimentConfig) -> Result<PathBuf> {
    let name = format!("runs/{}-{}-seed{}", config.recipe, config.split.protocol, config.train.seed);
    let failed = |error: io::Error| anyhow!("cannot create the run directory {name}: {error}");
    fs::create_dir_all("runs").map_err(failed)?;
    let (mut path, mut number) = (PathBuf::from(&name), 1);
    loop {
        match fs::create_dir(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
            created => return created.map(|()| path).map_err(failed),
        }
        path = format!("{name}-{number}").into();
    }
}
