//! `malaria export`: writes a trained model for other programs: as ONNX for those without libtorch, as TorchScript for those with it.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, anyhow, bail};
use malaria_resnet::{
    ExportOptions, RunDir, default_data, default_run,
    edge::{Lost, Precision, Toll, write},
    export, export_torchscript,
};
use serde_json::json;

use crate::{
    console::{Console, Style},
    flags,
    json::Json,
    terminal::check_file,
};

/// Write a trained model for other programs, as ONNX or TorchScript.
///
/// ONNX is for ONNX Runtime, OpenVINO, rten, tract and whatever else reads such files; TorchScript, for libtorch and PyTorch, is
/// written where the file's name ends in .pt.
///
/// Input `images`: float32 [N, 3, S, S], RGB divided by 255. Output `probabilities`: float32 [N, classes], softmax and
/// temperature included. The metadata of an ONNX file hold the classes, the threshold, how pictures are read and where the
/// weights come from; beside a TorchScript file they stand in a JSON of the same name.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  malaria export --out model.onnx                                       the pretrained model
  malaria export --run runs/cv/final --out model-int8.onnx --weights int8

Next:
  malaria-edge classify model.onnx some_cell.png                        without libtorch

Research software, not a medical device.")]
pub(crate) struct Args {
    /// Run directory of the model [default: MALARIA_RUN, or the pretrained model]
    #[arg(long, value_name = "RUN_DIR")]
    run: Option<PathBuf>,
    /// The file to write: FILE.onnx, or FILE.pt for TorchScript
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How weights are stored: f32, f16 or int8; everything is computed in float32
    #[arg(long, value_name = "f32|f16|int8", default_value = "f32")]
    weights: Precision,
    /// Labelled cells on which f16 and int8 are compared with f32: the run's own test cells among them, or else all [default:
    /// the folder that the run was trained on]
    #[arg(long, value_name = "DIR", conflicts_with = "unchecked")]
    data: Option<PathBuf>,
    /// Write nothing where f16 or int8 lose more sensitivity than this, a fraction
    #[arg(long, value_name = "SHARE", default_value_t = 0.005, value_parser = flags::fraction, allow_negative_numbers = true)]
    most_sensitivity_lost: f64,
    /// Write f16 or int8 without comparing
    #[arg(long)]
    unchecked: bool,
    /// Leave out images that cannot be read, and say which, instead of stopping
    #[arg(long)]
    skip_corrupt: bool,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    args.json.check()?;
    check_file(&args.out)?;
    let is_a = |extension| args.out.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension));
    if !is_a("onnx") && !is_a("pt") {
        bail!("--out {}: expected a name that ends in .onnx, or in .pt for TorchScript", args.out.display());
    }
    let console = Console::new(Style::Auto);
    let run = args.run.clone().map_or_else(default_run, Ok)?;
    if is_a("pt") {
        if args.weights != Precision::F32 {
            bail!(
                "TorchScript is written in f32 alone: leave --weights out, or name a file that ends in .onnx"
            );
        }
        let rest = export_torchscript(&run, &args.out)?;
        let words =
            format!("model: {}\nwritten: {}\nwritten: {}", run.display(), args.out.display(), rest.display());
        let document = json!({ "model": run, "weights": args.weights.name(), "files": [args.out, rest] });
        args.json.result(&words, &document)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.weights == Precision::F32 && args.data.is_some() {
        bail!("--data is there to compare f16 or int8 with f32: leave it out, or name other --weights");
    }
    let compared = args.weights != Precision::F32 && !args.unchecked;
    let data = if compared { Some(cells_to_compare(args, &run)?) } else { None };
    let options = ExportOptions {
        run: &run,
        precision: args.weights,
        data: data.as_deref(),
        most_sensitivity_lost: args.most_sensitivity_lost,
        skip_corrupt: args.skip_corrupt,
    };
    let exported = export(options, &|progress| console.show(progress))?;
    for image in &exported.skipped {
        console.say(&format!("warning: left out {image}"));
    }
    write(&args.out, &exported.onnx)?;
    let mut text = format!("model: {}\n", run.display());
    if let (Some(toll), Some(data)) = (&exported.toll, &data) {
        text += &toll_words(toll, data);
    }
    let megabytes = exported.onnx.len() as f64 / 1e6;
    text += &format!("written: {} ({megabytes:.2} MB, {})", args.out.display(), args.weights);
    let document = json!({ "model": run, "weights": args.weights.name(), "files": [args.out], "toll": exported.toll,
        "compared_on": data, "skipped": exported.skipped });
    args.json.result(&text, &document)?;
    Ok(ExitCode::SUCCESS)
}

/// The folder that was named, or that the run was trained on.
fn cells_to_compare(args: &Args, run: &Path) -> Result<PathBuf> {
    let own = || Ok::<_, anyhow::Error>(RunDir::open(run)?.config()?.data.filter(|data| data.is_dir()));
    let found = match &args.data {
        Some(data) => Some(data.clone()),
        None => own()?.or_else(default_data),
    };
    found.ok_or_else(|| {
        anyhow!(
            "{} is compared with f32 on labelled cells, and those that the run was trained on are not here: name a folder \
             of cells by --data, or leave the comparison out by --unchecked",
            args.weights
        )
    })
}

/// What fewer bits have changed on the cells of `data`, line by line.
fn toll_words(toll: &Toll, data: &Path) -> String {
    let mut text = format!(
        "compared with f32 on {} cells of {} patients in {}\n",
        toll.n,
        toll.n_patients,
        data.display()
    );
    if toll.seen_in_training > 0 {
        text += &format!("  the model has learned from {} of them\n", toll.seen_in_training);
    }
    text += &format!("  called otherwise: {}\n", toll.flipped);
    let points = |share: f64| format!("{:.2}", 100.0 * share);
    for (name, lost) in [("sensitivity", toll.sensitivity_lost), ("specificity", toll.specificity_lost)] {
        text += &match lost {
            None => format!("  {name} lost: n/a\n"),
            Some(Lost { estimate, interval }) => {
                let interval =
                    interval.map_or("n/a".to_owned(), |i| format!("{} to {}", points(i.low), points(i.high)));
                format!("  {name} lost: {} points, 95 % interval {interval}\n", points(estimate))
            }
        };
    }
    text
}
