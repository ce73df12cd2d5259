//! Advice on errors: the flag or command that helps. The library's errors state facts only; they do not know the command line.

use std::{path::Path, process::ExitCode};

use malaria_files::with_causes;
use malaria_resnet::{Error, RunDir, dataset, train};

use crate::{
    flags::PATIENT_ADVICE,
    terminal::{note, resume_command},
};

/// What to do about an error, if a flag or another command of this program helps.
pub(crate) fn advice(error: &Error) -> Option<String> {
    Some(match error {
        Error::NoModel { .. } => "name a run directory with --run or the variable MALARIA_RUN".to_owned(),
        Error::NoTestCell { .. } => "--subset all evaluates the model on all of them".to_owned(),
        Error::Config { field: "positive", .. } => "name the positive class with --positive".to_owned(),
        Error::QuantizationLoss { .. } => "choose other --weights, raise --max-loss, or give more cells with --data, which narrows the interval".to_owned(),
        Error::Dataset(dataset::Error::UnknownPatients(_)) => {
            format!("{PATIENT_ADVICE}; or --split random")
        }
        Error::Dataset(dataset::Error::Config { field: "the patient pattern", .. }) => {
            "give another --patient-pattern, or --patients".to_owned()
        }
        Error::Dataset(dataset::Error::BadImages { .. }) => "--skip-corrupt skips them".to_owned(),
        Error::Train(train::Error::NoCheckpoint { folder, .. }) => {
            format!("to train from the start, remove the checkpoints in {}", folder.display())
        }
        Error::Unfinished { path } => {
            format!("wait for the run to end; if it was interrupted, resume it: {}", resume_command(path))
        }
        Error::Taken { path, .. } if is_unfinished(path) => {
            format!("choose another --out, or resume that run: {}", resume_command(path))
        }
        Error::Taken { .. } => "choose another --out".to_owned(),
        error if is_out_of_memory(error) => {
            "memory is short: close other programs; malaria train and cross-validate also take a smaller \
             --batch-size or fewer --threads"
                .to_owned()
        }
        _ => return None,
    })
}

/// Whether memory was short. libtorch's errors say so only in their text, on the CPU and on a GPU.
fn is_out_of_memory(error: &Error) -> bool {
    let text = error.to_string();
    ["allocate memory", "not enough memory", "out of memory", "bad_alloc"]
        .iter()
        .any(|words| text.contains(words))
}

fn is_unfinished(path: &Path) -> bool {
    RunDir::open(path).is_ok_and(|run| !run.is_finished())
}

/// An error and what to do about it.
pub(crate) fn with_advice(error: &Error) -> String {
    match advice(error) {
        Some(advice) => format!("{error}\nhelp: {advice}"),
        None => error.to_string(),
    }
}

/// The program's exit code. Prints an error without a call stack, regardless of RUST_BACKTRACE; the library's errors already
/// name their causes.
pub(crate) fn exit_code(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        let text = error.downcast_ref::<Error>().map_or_else(|| with_causes(error.as_ref()), with_advice);
        // libtorch's messages contain its call stack on separate lines.
        let of_stack =
            |line: &&str| line.starts_with("frame #") || line.starts_with("Exception raised from ");
        let lines = Vec::from_iter(text.lines().filter(|line| !of_stack(line)));
        note(format_args!("error: {}", lines.join("\n").replace("\n; ", "; ")));
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind, Tensor};

    use super::*;

    #[test]
    fn too_little_memory_has_advice() {
        // Four petabytes.
        let torch = Tensor::f_zeros([1_i64 << 50], (Kind::Float, Device::Cpu)).unwrap_err();
        let text = with_advice(&Error::Train(train::Error::Torch(torch)));
        assert!(text.contains("close other programs") && text.contains("--batch-size"), "{text}");
        let text = with_advice(&Error::Unfinished { path: "run".into() });
        assert!(!text.contains("close other programs"), "{text}");
    }
}
