//! The last lines and the exit code of the programs after a count.

use std::path::PathBuf;

use crate::count::CountOptions;
use crate::report::SmearReport;

/// The lines that programs print on standard error after the counts (the folder that was written, and what is missing), and
/// their exit code: 130 if the count was stopped, 1 if a photograph could not be counted or a result could not be written, else 0.
#[must_use]
pub fn outcome(report: &SmearReport, options: &CountOptions) -> (Vec<String>, u8) {
    // Pictures of the steps are in another folder.
    let written = |out: &PathBuf| {
        let out = out.display().to_string();
        let incomplete = report.unwritten.iter().any(|reason| reason.contains(&out));
        format!("{}: {out}", if incomplete { "written, but incomplete" } else { "written" })
    };
    let mut lines = Vec::from_iter(options.out.iter().map(written));
    lines.extend(report.unwritten.iter().map(|reason| format!("error: {reason}")));
    let uncounted = report.patients.iter().filter(|count| count.infected_per_microlitre.is_none()).count();
    if options.red_cells_per_microlitre.is_some() && uncounted > 0 {
        lines.push(format!(
            "warning: no count per microlitre for {uncounted} patients: it needs red cells and a model \
             that calls patients"
        ));
    }
    let (stopped, failed) = (report.not_reached, report.failed());
    let all = report.photographs.len() + stopped;
    if failed > 0 {
        lines.push(format!("{failed} of {all} photographs could not be counted"));
    }
    if stopped > 0 {
        lines.push(format!("stopped: {stopped} of {all} photographs are not counted"));
    }
    let code = match (stopped, failed + report.unwritten.len()) {
        (0, 0) => 0,
        (0, _) => 1,
        _ => 130,
    };
    (lines, code)
}
