//! The command line of `malaria-edge`: counts and classifies red cells with an exported model, without libtorch or Python.

mod calibrate;
mod patients;
mod program;
mod review;
#[cfg(feature = "serve")]
mod serve;
mod smear;
mod terminal;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use anyhow::{Context, Result};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use clap_complete::Shell;
use malaria_classifier::PredictionReport;
use malaria_dataset::{Cells, Listed};

use self::{
    calibrate::{Calibrate, calibrate},
    patients::Patients,
    program::{NOTICE, PRETRAINED_NAME, bar, description, file_name, load, made_by, pretrained},
    review::{Verify, verify},
    smear::{Smear, smear},
    terminal::{STOP, note, print, stop_on_signal},
};

/// The help of a subcommand: what it does, examples, then its flags.
const HELP: &str = "{about-with-newline}\n{before-help}{usage-heading} {usage}\n\n{all-args}{after-help}";
/// Count and classify red blood cells in photographs and pictures, with an exported model.
#[derive(Parser)]
#[command(version, after_help = NOTICE)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Classify pictures of single cells: files, or folders with everything below them
    Classify(Classify),
    /// Count infected red cells in photographs of thin blood smears: files, or folders with everything below them
    Smear(Smear),
    /// Recompute a report of a smear from its photographs and list the differences
    Verify(Verify),
    /// Describe a model: classes, threshold, input size, origin
    #[command(before_help = "\
Examples:
  malaria-edge info model.onnx", after_help = NOTICE)]
    Info {
        /// The model
        #[arg(value_name = "MODEL.onnx")]
        model: PathBuf,
    },
    /// Serve a browser page for counting photographs of smears, correcting the counts and writing reports; the program
    /// stores nothing
    #[command(before_help = "\
Examples:
  malaria-edge serve                                 http://127.0.0.1:8080/, for this machine only
  malaria-edge serve --host 0.0.0.0                  for every machine in the network, such as a phone at the microscope
  malaria-edge serve my_model.onnx

Pictures of single cells are classified on the page /cells.", after_help = NOTICE)]
    #[cfg(feature = "serve")]
    Serve {
        /// The model [default: the pretrained field-int8.onnx]
        #[arg(value_name = "MODEL.onnx")]
        model: Option<PathBuf>,
        /// IP address to listen on, or localhost. Any address except 127.0.0.1 and ::1 can be reached from the network;
        /// 0.0.0.0 means every address of this machine
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1", value_parser = host)]
        host: std::net::IpAddr,
        /// Port to listen on; 0 takes any free port
        #[arg(long, value_name = "N", default_value_t = 8080)]
        port: u16,
    },
    /// Choose new thresholds for cells and smears from the predictions of a cross-validation and write them to models
    Calibrate(Calibrate),
    /// Print completions for a shell
    #[command(before_help = "\
Examples:
  malaria-edge completions bash > ~/.local/share/bash-completion/completions/malaria-edge", after_help = NOTICE)]
    Completions {
        /// The shell
        shell: Shell,
    },
    /// Write manual pages into a folder
    #[command(before_help = "\
Examples:
  malaria-edge man ~/.local/share/man/man1", after_help = NOTICE)]
    Man {
        /// The folder
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Measure how many cells per second this machine classifies
    #[command(before_help = "\
Examples:
  malaria-edge bench model.onnx", after_help = NOTICE)]
    Bench {
        /// The model
        #[arg(value_name = "MODEL.onnx")]
        model: PathBuf,
        /// Duration of the measurement
        #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = above_0)]
        seconds: f64,
    },
}

#[derive(Args)]
#[command(before_help = "\
Examples:
  malaria-edge classify model.onnx some_cell.png a_folder_of_cells
  malaria-edge classify model.onnx a_folder_of_cells --csv > cells.csv

Ctrl-C ends after the pictures in progress and prints their results.", after_help = NOTICE)]
struct Classify {
    /// The model
    #[arg(value_name = "MODEL.onnx")]
    model: PathBuf,
    /// Pictures, or folders of them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    patients: Patients,
    /// Print JSON instead of a table: `cells`, `uncertain_share` (of cells with a probability from 10 to 90 %), `unlike_share`
    /// (of cells with a warning), `unfamiliar` (whether one of these shares is unusually large), `patients`, `not_counted`
    /// (cells with a warning, which do not count for patients), `n_copies` (cells with the pixels of an earlier one, which
    /// count once), `n_shared` (copies with several patients, which count for none), `unknown_patients` (pictures that count
    /// for no patient), `notes` (such as the files that were skipped), `not_reached` (pictures that were not classified,
    /// because Ctrl-C stopped the program), `rule` (how cells and patients are called) and `made_by` (program, model and
    /// hash of the file)
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print CSV instead of a table, one line per cell; only the table and the JSON have patients
    #[arg(long)]
    csv: bool,
}

fn main() -> ExitCode {
    let command = Arguments::command().mut_subcommands(|subcommand| subcommand.help_template(HELP));
    let arguments = Arguments::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit());
    let result = match arguments.task {
        Task::Classify(args) => classify(&args),
        Task::Smear(args) => smear(&args),
        Task::Verify(args) => verify(&args),
        Task::Info { model } => info(&model),
        #[cfg(feature = "serve")]
        Task::Serve { model, host, port } => serve(model.as_deref(), (host, port).into()),
        Task::Calibrate(args) => calibrate(&args),
        Task::Completions { shell } => completions(shell),
        Task::Man { folder } => man(&folder),
        Task::Bench { model, seconds } => bench(&model, seconds),
    };
    result.unwrap_or_else(|error| {
        // One message, regardless of RUST_BACKTRACE.
        note(format_args!("error: {}", malaria_files::with_causes(error.as_ref())));
        ExitCode::FAILURE
    })
}

/// A positive, finite number.
fn above_0(text: &str) -> Result<f64, String> {
    let number: Option<f64> = text.parse().ok();
    number
        .filter(|number| *number > 0.0 && number.is_finite())
        .ok_or_else(|| "expected a number above 0".to_owned())
}

/// An IP address, or localhost.
#[cfg(feature = "serve")]
fn host(text: &str) -> Result<std::net::IpAddr, String> {
    match text {
        "localhost" => Ok(std::net::Ipv4Addr::LOCALHOST.into()),
        _ => text.parse().map_err(|_| "expected an IP address, such as 192.168.1.7, or localhost".to_owned()),
    }
}

/// The addresses at which the pages on `local` can be opened. An unspecified address, such as 0.0.0.0, cannot be opened itself.
#[cfg(feature = "serve")]
fn pages(local: std::net::SocketAddr) -> Vec<std::net::SocketAddr> {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
    if !local.ip().is_unspecified() {
        return vec![local];
    }
    let (loopback, elsewhere): (IpAddr, IpAddr) = match local {
        SocketAddr::V4(_) => (Ipv4Addr::LOCALHOST.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        SocketAddr::V6(_) => {
            (Ipv6Addr::LOCALHOST.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into())
        }
    };
    // Connecting a UDP socket sends nothing, but selects the address of this machine that others see.
    let own = UdpSocket::bind((local.ip(), 0)).and_then(|socket| {
        socket.connect((elsewhere, 9))?;
        socket.local_addr()
    });
    let own = own.map(|own| own.ip()).ok().filter(|own| *own != loopback);
    own.into_iter().chain([loopback]).map(|address| SocketAddr::new(address, local.port())).collect()
}

fn classify(args: &Classify) -> Result<ExitCode> {
    let model = load(&args.model)?;
    let Listed { images, notes, .. } = args.patients.list(&args.paths, args.json || args.csv)?;
    stop_on_signal("finishing the pictures in progress")?;
    let bar = bar("cells")?;
    let predictions = model.classify(&images, Some(&STOP), &mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
    })?;
    bar.finish_and_clear();
    let not_reached = &images[predictions.len()..];
    let mut report = PredictionReport::new(
        model.description(),
        predictions,
        not_reached,
        true,
        made_by(&model, args.model.display().to_string()),
    )?;
    report.notes = notes;
    let text = match args {
        Classify { json: true, .. } => serde_json::to_string_pretty(&report)?,
        Classify { csv: true, .. } => report.csv()?,
        _ => report.table(&[]),
    };
    let printed = print(text.trim_end());
    let (lines, code) = report.outcome();
    lines.iter().for_each(note);
    printed?;
    Ok(ExitCode::from(code))
}

fn info(path: &Path) -> Result<ExitCode> {
    let model = load(path)?;
    let mut about = description(&model);
    about["bytes"] =
        fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?.len().into();
    print(serde_json::to_string_pretty(&about)?)?;
    note(NOTICE);
    Ok(ExitCode::SUCCESS)
}

#[cfg(feature = "serve")]
fn serve(path: Option<&Path>, address: std::net::SocketAddr) -> Result<ExitCode> {
    let (model, name) = match path {
        // Only the file name, since the page shows it to others.
        Some(path) => (load(path)?, file_name(path)),
        None => (pretrained()?, PRETRAINED_NAME.to_owned()),
    };
    let made_by = made_by(&model, name);
    serve::serve(model, made_by, address, |local| {
        if !local.ip().is_loopback() {
            note(format_args!(
                "warning: anyone who can reach this machine over the network can use the page and send pictures"
            ));
        }
        let pages: String = pages(local).iter().map(|page| format!("http://{page}/\n")).collect();
        let _ = print(format_args!("{pages}Press Ctrl-C to stop. Research software, not a medical device."));
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the completions.
fn completions(shell: Shell) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "malaria-edge", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the manual pages.
fn man(folder: &Path) -> Result<ExitCode> {
    let write = || {
        fs::create_dir_all(folder)?;
        clap_mangen::generate_to(Arguments::command(), folder)
    };
    write().with_context(|| format!("cannot write manual pages into {}", folder.display()))?;
    note(format_args!("written: {}", folder.display()));
    Ok(ExitCode::SUCCESS)
}

fn bench(path: &Path, seconds: f64) -> Result<ExitCode> {
    let start = Instant::now();
    let model = load(path)?;
    print(format_args!("loaded in {:.0} ms", start.elapsed().as_secs_f64() * 1e3))?;
    let side = model.description().image.pixels;
    for batch in [1, 8, 32] {
        let bytes = (0..batch * side as usize * side as usize * 3).map(|i| (i * i % 251) as u8).collect();
        let cells = Cells::from_pixels(side, bytes)?;
        let all: Vec<usize> = (0..batch).collect();
        model.probabilities(&cells, &all, &mut |_| {})?;
        let (start, mut done) = (Instant::now(), 0);
        while done == 0 || start.elapsed().as_secs_f64() < seconds / 3.0 {
            model.probabilities(&cells, &all, &mut |_| {})?;
            done += batch;
        }
        print(format_args!(
            "{batch:>3} at once: {:.0} cells/s",
            done as f64 / start.elapsed().as_secs_f64()
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(all(test, feature = "serve"))]
mod tests {
    use super::*;

    #[test]
    fn printed_addresses_can_be_opened() {
        assert_eq!(host("localhost"), host("127.0.0.1"));
        assert!(host("lab").unwrap_err().contains("localhost"));
        let pages = |address: &str| pages(address.parse().unwrap());
        assert_eq!(pages("192.168.1.7:80"), ["192.168.1.7:80".parse().unwrap()]);
        for (every, loopback) in [("0.0.0.0:80", "127.0.0.1:80"), ("[::]:80", "[::1]:80")] {
            let pages = pages(every);
            assert_eq!(pages.last(), Some(&loopback.parse().unwrap()));
            assert!(pages.iter().all(|page| !page.ip().is_unspecified() && page.port() == 80), "{pages:?}");
        }
    }
}
