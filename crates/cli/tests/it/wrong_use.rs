//! Wrong settings, bad files and folders: refused before work begins, with a message that names the expected input, and
//! without data loss.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::support::{CELLS, Workbench, fail, finished, malaria, progress, rows, succeed};

#[track_caller]
fn refuse(command: &mut Command, words: &[&str]) {
    let said = fail(command);
    assert!(words.iter().all(|word| said.contains(word)), "{command:?}: {said}");
    assert!(!said.contains("reading images"), "{command:?}: {said}");
}

#[test]
fn missing_files_and_wrong_places_are_named() {
    let bench = Workbench::new();
    let malaria = |task, flags: &[&str]| {
        let mut command = bench.malaria(task);
        command.args(flags);
        command
    };
    let both = ["--progress", "json", "--json"];
    let cases: [(&str, &[&str], &[&str]); 10] = [
        ("train", &["--data", "nowhere"], &["nowhere"]),
        ("train", &["--data", "cells", "--config", "missing.json"], &["--config", "missing.json"]),
        ("train", &["--resume", "cells"], &["cells", "not a run directory"]),
        ("train", &["--data", "cells", "--device", "cuda:99"], &["cuda"]),
        ("train", &both, &["--progress json", "name a file"]),
        ("cross-validate", &["--out", "x", both[0], both[1], both[2]], &["--progress json", "name a file"]),
        ("predict", &["--run", "cells", "cells"], &["not a run directory"]),
        ("predict", &["--run", "tiny.json", "cells"], &["not a folder"]),
        ("export", &["--out", "model.txt"], &["model.txt", ".onnx"]),
        ("train", &["--data", "cells", "--url", "http://127.0.0.1:9/cells.zip"], &["--download"]),
    ];
    for (task, flags, words) in cases {
        refuse(&mut malaria(task, flags), words);
    }
    let mut predict = malaria("predict", &["a.png"]);
    refuse(
        predict.env("MALARIA_RUN", "x"),
        &["the variable MALARIA_RUN names no run directory: ", "x", "no such folder"],
    );
    refuse(
        malaria("train", &[]).env("MALARIA_DATA", "y"),
        &["the variable MALARIA_DATA names `y`, which is not a folder"],
    );
    assert!(!bench.path("runs").exists(), "a refused command left a run");

    // An unknown setting is named.
    let text = fs::read_to_string(bench.path("tiny.json")).unwrap().replacen("\"epochs\"", "\"epoch\"", 1);
    fs::write(bench.path("typo.json"), text).unwrap();
    refuse(&mut malaria("train", &["--data", "cells", "--config", "typo.json"]), &["typo.json", "epoch"]);
}

#[test]
fn subsets_of_a_split_are_not_read_as_classes() {
    let bench = finished().copy();
    for subset in ["train", "test"] {
        bench.mirror_cells(&format!("subsets/{subset}"), str::to_owned);
    }
    let mut evaluate = bench.malaria("evaluate");
    evaluate.args(["--run", "run", "--data", "subsets"]);
    for mut command in [bench.train_on("subsets", "other"), evaluate] {
        refuse(
            &mut command,
            &["`subsets` holds `test`, `train`", "did you mean `subsets/test` or `subsets/train`?"],
        );
    }
    let mut evaluate = bench.malaria("evaluate");
    succeed(evaluate.args(["--run", "run", "--data", "subsets/test"]));
}

#[test]
fn settings_are_refused_before_pictures_are_read() {
    let bench = Workbench::new();
    fs::write(bench.path("none.csv"), "path\n").unwrap();
    fs::write(bench.path("others.csv"), "path\nUninfected/another.png\n").unwrap();
    fs::write(bench.path("file"), "in the way").unwrap();
    let cases: [(&[&str], &[&str]); 7] = [
        (&["--positive", "sick"], &["--positive", "Parasitized"]),
        (&["--exclude", "none.csv"], &["exclude", "none in none.csv"]),
        (&["--exclude", "others.csv"], &["exclude", "another.png"]),
        (&["--init", "cells"], &["init", "cells", "not a run directory"]),
        (&["--teacher", "cells"], &["teacher", "not a run directory"]),
        (&["--split", "given"], &["not a split tree"]),
        (&["--split", "all", "--calibrate"], &["--calibrate", "--split all"]),
    ];
    for (flags, words) in cases {
        refuse(bench.train("run").args(flags), words);
    }
    for patient in 1..=3 {
        fs::create_dir_all(bench.path(&format!("clinic/P{patient}"))).unwrap();
        fs::write(bench.path(&format!("clinic/P{patient}/a.png")), "").unwrap();
    }
    refuse(
        &mut bench.train_on("clinic", "run"),
        &["`Parasitized`", "one folder for each class", "3 folders in clinic, such as `P1`", "--positive"],
    );
    assert!(!bench.path("run").exists(), "a refused run left its directory");
    // A file at the path of the folder, and folders whose plots would be read as cells.
    refuse(&mut bench.train("file"), &["file: it is not a folder"]);
    refuse(&mut bench.train("file/run"), &["file/run"]);
    assert_eq!(fs::read_to_string(bench.path("file")).unwrap(), "in the way");
    for mut program in [bench.train("cells/run"), bench.train("cells"), bench.cross_validate("cells/new/run")]
    {
        refuse(&mut program, &["setting `out`", "outside the data folder"]);
    }
    assert_eq!(fs::read_dir(bench.path("cells")).unwrap().count(), 2, "something was left among the cells");
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"run\xff");
        refuse(bench.train("run").arg("--init").arg(name), &["setting `init`", "UTF-8"]);
    }
}

#[test]
fn outputs_that_cannot_be_written_are_refused_before_evaluation() {
    let bench = finished();
    let cases: [(&[&str], &str); 6] = [
        (&["--report", "cells"], "this is a folder"),
        (&["--json", "nowhere/a.json"], "create it first"),
        (&["--json", "/proc/a.json"], "cannot write /proc/a.json: "),
        (&["--predictions", "a.xlsx"], "ends in .csv"),
        (&["--report", "a.pdf"], "ends in .html"),
        (&["--prevalence", "2"], "did you mean 0.02?"),
    ];
    for (flags, words) in cases {
        refuse(bench.evaluate("run").args(flags), &[words]);
    }
}

#[test]
fn a_corrupt_image_stops_a_run_unless_skip_corrupt_is_given() {
    let bench = Workbench::new();
    let bad = bench.path("cells/Uninfected/C1P0ThinF_IMG_20150101_cell_9.png");
    fs::write(&bad, b"\x89PNG\r\n\x1a\n and no more").unwrap();
    fs::write(bench.path("cells/Uninfected/Thumbs.db"), b"not an image").unwrap();
    let said = fail(&mut bench.train("run"));
    assert!(said.contains("cell_9.png") && said.contains("help: --skip-corrupt"), "{said}");

    let said = progress(bench.train("run").args(["--skip-corrupt", "--epochs", "1"]));
    assert!(said.contains("unreadable images skipped: 1") && said.contains("cell_9.png"), "{said}");
    assert!(said.contains("skipped because they are not images: 1"), "{said}");
    assert_eq!(rows(&bench.path("run/split.csv")).len(), CELLS);

    // `predict` classifies the other pictures, shows the reason, and fails.
    let output = bench.malaria("predict").args(["--run", "run", "cells/Uninfected"]).output().unwrap();
    assert!(!output.status.success());
    let table = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(
        table.matches("Uninfected/C").count(),
        CELLS / 2 + 2,
        "each once, the bad one with its path again: {table}"
    );
    assert!(table.contains("unreadable"), "{table}");
}

#[test]
fn a_run_directory_holds_one_run() {
    let bench = Workbench::new();
    succeed(bench.train("run").args(["--epochs", "1"]));
    refuse(&mut bench.train("run"), &["a finished run", "help: choose another --out\n"]);
    // The test set is not read a second time.
    refuse(&mut bench.resume("run"), &["is finished"]);
    // An unfinished run is not overwritten.
    fs::remove_file(bench.path("run/metrics.json")).unwrap();
    refuse(&mut bench.train("run"), &["malaria train --resume run", "another --out"]);
    // A run does not resume on other cells.
    let cell = fs::read_dir(bench.path("cells/Uninfected")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&cell).unwrap();
    let said = fail(&mut bench.resume("run"));
    assert!(said.contains(cell.file_name().unwrap().to_str().unwrap()), "{said}");
}

#[test]
#[cfg(unix)]
fn ctrl_c_stops_a_download_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["download"][..], &["train", "--download"]] {
        let mut download = malaria(words[0]);
        // Nothing listens on this port: the download would retry for half a minute.
        download.current_dir(folder.path()).args(&words[1..]).args(["--url", "http://127.0.0.1:9/cells.zip"]);
        let mut child = download.stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
        assert!(said.any(|line| line.contains("trying again")));
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        let rest: Vec<String> = said.collect();
        assert!(rest.iter().any(|line| line.contains("the download was stopped")), "{rest:?}");
        assert_eq!(child.wait().unwrap().code(), Some(130));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left");
    }
}

#[test]
fn copies_of_a_picture_in_several_sets_are_reported() {
    let bench = Workbench::new();
    let cell = bench.path("cells/Parasitized/C1P0ThinF_IMG_20150101_cell_0.png");
    for patient in 2..=16 {
        let name = format!("cells/Parasitized/C{patient}P1ThinF_IMG_20150101_cell_8.png");
        fs::copy(&cell, bench.path(&name)).unwrap();
    }
    fs::copy(&cell, bench.path("cells/Uninfected/C1P0ThinF_IMG_20150101_cell_8.png")).unwrap();
    let said = progress(bench.train("run").args(["--epochs", "1"]));
    for words in [
        "groups of pictures with the same pixels in more than one set: 1\n",
        "one label is wrong: 1\n",
        "    Parasitized/C10P1ThinF_IMG_20150101_cell_8.png = ",
        " = Uninfected/C1P0ThinF_IMG_20150101_cell_8.png\n",
    ] {
        assert!(said.contains(words), "{words}:\n{said}");
    }
    let page = fs::read_to_string(bench.path("run/report.html")).unwrap();
    assert!(page.contains("in folders of more than one class: 1."), "the page does not mention it");
}
