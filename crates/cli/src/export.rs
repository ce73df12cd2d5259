//! `malaria export`: writes a trained model as ONNX, for programs without libtorch.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Result, anyhow, bail};
use malaria_resnet::{
    ExportOptions, RunDir, default_data, default_run,
    edge::{LossEstimate, QuantizationLoss, WeightFormat},
    export,
};
use serde_json::json;

use crate::{
    NOTICE,
    console::{Console, Style},
    flags,
    json::Json,
    terminal::check_file,
};

/// Write a trained model as ONNX, for ONNX Runtime, OpenVINO, rten, tract and other programs that read such files.
///
/// Input `images`: float32 [N, 3, S, S], RGB divided by 255. Output `probabilities`: float32 [N, classes], softmax and
/// temperature included. The file's metadata contains the classes, the threshold, the image settings and the origin of the
/// weights.
#[derive(clap::Args)]
#[command(before_help = "\
Examples:
  malaria export --out model.onnx                                       the pretrained model
  malaria export --run runs/cv/final --out model-int8.onnx --weights int8

Next:
  malaria-edge classify model.onnx some_cell.png                        without libtorch", after_help = NOTICE)]
pub(crate) struct Args {
    /// Run directory of the model, the folder that `malaria train` wrote [default: MALARIA_RUN, or the pretrained model]
    #[arg(long, value_name = "RUN_DIR")]
    run: Option<PathBuf>,
    /// The file to write, FILE.onnx
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Storage of the weights: f32, f16 or int8; everything is computed in float32
    #[arg(long, value_name = "f32|f16|int8", default_value = "f32")]
    weights: WeightFormat,
    /// Labelled cells for comparing f16 and int8 with f32: the run's test cells among them, or all if there are none
    /// [default: the folder that the run was trained on]
    #[arg(long, value_name = "DIR", conflicts_with = "unchecked")]
    data: Option<PathBuf>,
    #[command(flatten)]
    patients: flags::Patients,
    /// Largest loss of sensitivity or specificity allowed for f16 and int8 (a fraction), at the upper end of the 95 %
    /// interval; if it is exceeded, nothing is written
    #[arg(long, value_name = "SHARE", default_value_t = 0.005, value_parser = flags::fraction, allow_negative_numbers = true)]
    max_loss: f64,
    /// Write f16 or int8 without comparing
    #[arg(long)]
    unchecked: bool,
    /// Skip images that cannot be read, and list them, instead of stopping
    #[arg(long)]
    skip_corrupt: bool,
    #[command(flatten)]
    json: Json,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    args.json.check()?;
    check_file(&args.out, &["onnx"])?;
    let console = Console::new(Style::Auto);
    let run = args.run.clone().map_or_else(default_run, Ok)?;
    let compared = args.weights != WeightFormat::F32 && !args.unchecked;
    let patients = args.patients.names();
    if !compared && (args.data.is_some() || patients.is_some()) {
        bail!(
            "--data, --patient-pattern and --patients are for comparing f16 or int8 with f32, and nothing \
             is compared here: omit them"
        );
    }
    let data = if compared { Some(cells_to_compare(args, &run)?) } else { None };
    let options = ExportOptions {
        run: &run,
        weights: args.weights,
        data: data.as_deref(),
        patients: patients.as_ref(),
        max_loss: args.max_loss,
        skip_corrupt: args.skip_corrupt,
    };
    let exported = export(options, &|progress| console.show(progress))?;
    for image in &exported.skipped {
        console.say(&format!("warning: skipped {image}"));
    }
    if let Some(unknown) = &exported.unknown_patients {
        console.say(&format!("warning: {unknown}; {}", flags::PATIENT_ADVICE));
    }
    malaria_files::write(&args.out, &exported.onnx).map_err(malaria_files::Error::io("write", &args.out))?;
    let mut text = format!("model: {}\n", run.display());
    if let (Some(quantization_loss), Some(data)) = (&exported.quantization_loss, &data) {
        text += &loss_words(quantization_loss, data);
    }
    let megabytes = exported.onnx.len() as f64 / 1e6;
    text += &format!("written: {} ({megabytes:.2} MB, {})", args.out.display(), args.weights);
    let document = json!({ "model": run, "weights": args.weights, "files": [args.out], "quantization_loss": exported.quantization_loss,
        "compared_on": data, "unknown_patients": exported.unknown_patients, "skipped": exported.skipped });
    args.json.result(&text, &document)?;
    Ok(ExitCode::SUCCESS)
}

/// The folder of --data, or else the one that the run was trained on.
fn cells_to_compare(args: &Args, run: &Path) -> Result<PathBuf> {
    let own = || Ok::<_, anyhow::Error>(RunDir::open(run)?.config()?.data.filter(|data| data.is_dir()));
    let found = match &args.data {
        Some(data) => Some(data.clone()),
        None => own()?.map_or_else(default_data, |data| Ok(Some(data)))?,
    };
    found.ok_or_else(|| {
        anyhow!(
            "{} is compared with f32 on labelled cells, but the run's cells are not here: name a folder of \
             cells with --data, or skip the comparison with --unchecked",
            args.weights
        )
    })
}

/// The quantization loss on the cells of `data`, as lines of text.
fn loss_words(loss: &QuantizationLoss, data: &Path) -> String {
    let mut text = format!(
        "compared with f32 on {} cells of {} patients in {}\n",
        loss.n,
        loss.n_patients,
        data.display()
    );
    if loss.seen_in_training > 0 {
        text += &format!("  the model was trained or selected on {} of them\n", loss.seen_in_training);
    }
    text += &format!("  called differently: {}\n", loss.changed_calls);
    let points = |share: f64| format!("{:.2}", 100.0 * share);
    let mut changes = vec![("sensitivity", loss.sensitivity_loss), ("specificity", loss.specificity_loss)];
    if let Some([sensitivity, specificity]) = loss.smear_losses {
        changes.push(("smears' sensitivity", sensitivity));
        changes.push(("smears' specificity", specificity));
    }
    for (name, change) in changes {
        text += &match change {
            None => format!("  {name} loss: n/a\n"),
            Some(LossEstimate { estimate, interval, .. }) => {
                let interval =
                    interval.map_or("n/a".to_owned(), |i| format!("{} to {}", points(i.low), points(i.high)));
                format!("  {name} loss: {} points, 95 % interval {interval}\n", points(estimate))
            }
        };
    }
    text
}
