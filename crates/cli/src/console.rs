//! Progress: bars on a terminal, plain lines in a log, JSON lines for a program.

use std::{
    io::{self, IsTerminal, stderr},
    sync::Mutex,
    time::Duration,
};

use anyhow::{Result, bail};
use clap::ValueEnum;
use indicatif::{ProgressBar, ProgressStyle};
use malaria_resnet::{
    Caveat, DataSummary, Progress,
    dataset::{DownloadProgress, ignored_note},
    train::Event,
};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    flags::PATIENT_ADVICE,
    json::Json,
    terminal::{note, print},
};

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// Bars on a terminal, plain lines elsewhere.
    Auto,
    /// Plain lines.
    Plain,
    /// One JSON object per line on standard output: every training event, the start of each fold, and the result.
    Json,
}

/// Shows the progress of a run.
pub(crate) struct Console {
    style: Style,
    bar: Mutex<ProgressBar>,
}

impl Console {
    /// A console that writes to standard error, so that results alone go to standard output.
    pub(crate) fn new(style: Style) -> Self {
        let style = if style == Style::Auto && !stderr().is_terminal() { Style::Plain } else { style };
        Self { style, bar: Mutex::new(ProgressBar::hidden()) }
    }

    /// Shows one event; the library's listener.
    pub(crate) fn show(&self, progress: Progress<'_>) {
        match progress {
            Progress::GeneratingCells { done, total } => {
                self.count("generating synthetic cells", done, total)
            }
            Progress::Decoding { done, total } => self.count("reading images", done, total),
            Progress::Teaching { done, total } => {
                self.count("classifying cells with the teacher", done, total)
            }
            Progress::Testing { done, total } => self.count("testing", done, total),
            Progress::Classifying { done, total } => self.count("classifying", done, total),
            Progress::Counting { done, total } => self.count("counting cells", done, total),
            Progress::Data(data) => self.data(data),
            Progress::Model { device, parameters, epochs_done } => {
                self.say(&format!("network: {parameters} parameters on {device}"));
                if epochs_done > 0 {
                    self.say(&format!("resuming after epoch {epochs_done}"));
                }
            }
            Progress::Fold { fold, path } => {
                self.event(&json!({ "event": "fold", "fold": fold.number, "of": fold.of, "path": path }));
                self.say(&format!("{fold}, in {}", path.display()));
            }
            Progress::FinalModel { path } => {
                self.event(&json!({ "event": "final-model", "path": path }));
                self.say(&format!("final model, trained on every cell, in {}", path.display()));
            }
            Progress::Training(event) => self.training(event),
            _ => {}
        }
    }

    /// Prints a line above the progress bar.
    pub(crate) fn say(&self, line: &str) {
        match self.bar.lock() {
            Ok(bar) if self.style == Style::Auto && !bar.is_finished() => bar.suspend(|| note(line)),
            _ => note(line),
        }
    }

    /// Refuses to write events and the JSON document to the same stream.
    pub(crate) fn check(&self, json: &Json) -> Result<()> {
        if self.style == Style::Json && json.takes_stdout() {
            bail!(
                "--progress json and --json both write to standard output: name a file with --json FILE.json"
            );
        }
        json.check()
    }

    /// Prints a result: the document if `json` requests it, the text, and, with [`Style::Json`], the document as the last event.
    pub(crate) fn result(&self, json: &Json, words: &str, document: &Value) -> Result<()> {
        if self.style != Style::Json {
            return json.result(words, document);
        }
        note(words);
        let mut event = document.clone();
        event["event"] = "finished".into();
        let printed = print_json(&event);
        json.write(document)?;
        Ok(printed?)
    }

    /// Prints an event, with [`Style::Json`].
    pub(crate) fn event(&self, event: &impl Serialize) {
        if self.style == Style::Json {
            // If standard output cannot be written, printing the result fails.
            let _ = print_json(event);
        }
    }

    /// Shows the progress of a download.
    pub(crate) fn download(&self, progress: DownloadProgress) {
        match progress {
            DownloadProgress::Connecting { url, have: 0 } => self.say(&format!("fetching {url}")),
            DownloadProgress::Connecting { url, have } => {
                self.say(&format!("fetching {url}, {} MB already received", have / 1_000_000));
            }
            DownloadProgress::Receiving { received, total } => self.receiving(received, total),
            DownloadProgress::Retrying { problem, wait } => {
                self.say(&format!("{problem}; trying again in {} s", wait.as_secs()));
            }
            DownloadProgress::GivingUp { url, problem } => {
                self.say(&format!("giving up on {url}: {problem}"))
            }
            DownloadProgress::Verifying => self.say("checking size and hash"),
            DownloadProgress::Unpacking { done, total } => self.count("unpacking", done, total),
            _ => {}
        }
    }

    /// Shows a bar; in a log, prints a line for every tenth.
    fn receiving(&self, received: u64, total: u64) {
        if self.style == Style::Auto {
            return self.count("fetching (kB)", (received / 1000) as usize, (total / 1000) as usize);
        }
        let Ok(bar) = self.bar.lock() else { return };
        let step = (total / 10).max(1);
        // The hidden bar only stores the position of the last line.
        if received / step > bar.position() / step {
            note(format_args!("fetched {} of {} MB", received / 1_000_000, total / 1_000_000));
            bar.set_position(received);
        }
    }

    fn count(&self, what: &'static str, done: usize, total: usize) {
        let Ok(mut bar) = self.bar.lock() else { return };
        if self.style == Style::Auto {
            // Reports of several threads may come late, also after the last one.
            if bar.message() == what && bar.is_finished() {
                return;
            }
            if bar.message() != what {
                *bar = ProgressBar::new(total as u64)
                    .with_style(style("{msg} {wide_bar} {pos}/{len}"))
                    .with_message(what);
            }
            bar.set_position(bar.position().max(done as u64));
        }
        if done == total {
            bar.finish_and_clear();
            if self.style == Style::Plain {
                note(format_args!("{what}: {total}"));
            }
        }
    }

    fn data(&self, data: &DataSummary) {
        let fold = data.fold.map(|fold| format!(", {fold}")).unwrap_or_default();
        self.say(&format!("data: {}, {} split{fold}", data.folder.display(), data.protocol));
        for subset in &data.subsets {
            let cells: Vec<String> = data
                .classes
                .iter()
                .zip(&subset.cells)
                .map(|(class, cells)| format!("{cells} {class}"))
                .collect();
            self.say(&format!(
                "  {:<10} {} of {} patients",
                subset.subset.to_string(),
                cells.join(", "),
                subset.patients
            ));
        }
        if data.shared_patients > 0 {
            self.say(&format!(
                "  {} patients have cells in more than one of these sets: metrics are better than for new \
                 patients",
                data.shared_patients
            ));
        }
        if let Some(unknown) = &data.unknown_patients {
            self.say(&format!("  warning: {unknown}; {PATIENT_ADVICE}"));
        }
        data.similar_patients.iter().for_each(|words| self.say(&format!("  warning: {words}")));
        for caveat in Caveat::of_init(data.test_cells_seen_by_init, data.validation_cells_seen_by_init) {
            self.say(&format!("  warning: {caveat}"));
        }
        self.warn_of_copies(
            "groups of pictures with the same pixels in more than one set",
            &data.duplicates_across,
        );
        self.warn_of_copies(
            "pictures in folders of more than one class: one label is wrong",
            &data.doubly_labelled,
        );
        if let Some(words) = ignored_note(&data.ignored) {
            self.say(&format!("  warning: {words}"));
        }
        if !data.skipped.is_empty() {
            self.say(&format!("  warning: unreadable images skipped: {}", data.skipped.len()));
            data.skipped.iter().for_each(|image| self.say(&format!("    {image}")));
        }
    }

    /// Prints a warning about `things`, if there are any, and names the first few.
    pub(crate) fn warn_of(&self, what: &str, things: &[String]) {
        const NAMED: usize = 10;
        if things.is_empty() {
            return;
        }
        self.say(&format!("  warning: {what}: {}", things.len()));
        things.iter().take(NAMED).for_each(|thing| self.say(&format!("    {thing}")));
        if things.len() > NAMED {
            self.say(&format!("    and {} more", things.len() - NAMED));
        }
    }

    /// [`warn_of`](Self::warn_of) for groups of pictures with the same pixels.
    pub(crate) fn warn_of_copies(&self, what: &str, groups: &[Vec<String>]) {
        self.warn_of(what, &groups.iter().map(|group| group.join(" = ")).collect::<Vec<_>>());
    }

    fn training(&self, event: &Event) {
        if self.style == Style::Json {
            return self.event(event);
        }
        match event {
            Event::EpochStarted { epoch, epochs, batch, batches, image_size, .. }
                if self.style == Style::Auto =>
            {
                let template = format!(
                    "epoch {epoch}/{epochs} ({image_size} px) {{wide_bar}} {{pos}}/{{len}} {{msg}}, {{eta}} left"
                );
                let bar = ProgressBar::new(*batches).with_style(style(&template)).with_position(*batch);
                bar.enable_steady_tick(Duration::from_secs(1));
                self.replace(bar);
            }
            Event::Batch { epoch, batch, batches, train_loss, train_accuracy, images_per_second } => {
                let metrics = format!(
                    "loss {train_loss:.3}, accuracy {:.1} %, {images_per_second:.0} images/s",
                    100.0 * train_accuracy
                );
                if self.style == Style::Auto {
                    if let Ok(bar) = self.bar.lock() {
                        bar.set_position(*batch);
                        bar.set_message(metrics);
                    }
                } else if batch * 5 / batches > (batch - 1) * 5 / batches && batch < batches {
                    self.say(&format!("epoch {epoch:>3}: batch {batch} of {batches}, {metrics}"));
                }
            }
            Event::RecordingDropped { epoch, batch, difference } => self.say(&format!(
                "warning: in epoch {epoch}, batch {batch}, the gradients of a recorded GPU step differ by {:.1} % from the computed \
                 ones; steps are no longer recorded, which is slower. Some steps since the middle of the \
                 last epoch may have been wrong: please report this with the name of the GPU",
                100.0 * difference
            )),
            Event::ValidationStarted { cells, .. } if self.style == Style::Auto => {
                let bar = ProgressBar::new_spinner().with_style(style("{spinner} {msg}"));
                bar.set_message(format!("validating on {cells} cells"));
                bar.enable_steady_tick(Duration::from_millis(200));
                self.replace(bar);
            }
            Event::EpochEnded { record, is_best } => {
                self.replace(ProgressBar::hidden());
                let validation = match (record.validation_loss, record.validation_accuracy) {
                    (Some(loss), Some(accuracy)) => {
                        format!(" validation loss {loss:.4}, accuracy {:.2} %;", 100.0 * accuracy)
                    }
                    _ => String::new(),
                };
                self.say(&format!(
                    "epoch {:>3}: train loss {:.4}, accuracy {:.2} %;{validation} {:.0} s{}",
                    record.epoch,
                    record.train_loss,
                    100.0 * record.train_accuracy,
                    record.seconds,
                    if *is_best { " (best)" } else { "" },
                ));
            }
            Event::CheckpointSkipped { reason } => {
                self.say(&format!("warning: {reason}; using the previous checkpoint"))
            }
            _ => {}
        }
    }

    fn replace(&self, bar: ProgressBar) {
        if let Ok(mut current) = self.bar.lock() {
            current.finish_and_clear();
            *current = bar;
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn print_json(value: &impl Serialize) -> io::Result<()> {
    print(serde_json::to_string(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_report_does_not_start_a_new_bar() {
        let console = Console { style: Style::Auto, bar: Mutex::new(ProgressBar::hidden()) };
        let finished = || console.bar.lock().unwrap().is_finished();
        for (done, expected) in [(1, false), (3, false), (2, false), (4, true), (3, true)] {
            console.count("reading images", done, 4);
            assert_eq!(finished(), expected, "{done}");
        }
        console.count("testing", 1, 2);
        assert!(!finished());
    }
}
