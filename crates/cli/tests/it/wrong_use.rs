//! Wrong flags, bad files and folders: told in words of what was expected, in time, and without loss.

use std::{
    fs,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::support::{self, CELLS, Workbench, fail, malaria, rows, succeed};

#[test]
fn errors_say_what_to_do() {
    let bench = Workbench::new();
    let here = bench.folder.path();
    let train = || {
        let mut command = malaria("train");
        command.current_dir(here);
        command
    };
    let refuse = |command: &mut Command, words: &[&str]| {
        let said = fail(command);
        assert!(words.iter().all(|word| said.contains(word)), "{command:?}: {said}");
    };
    refuse(train().args(["--data", "nowhere"]), &["nowhere"]);
    refuse(train().args(["--data", "cells", "--config", "missing.json"]), &["--config", "missing.json"]);
    refuse(train().args(["--resume", "cells"]), &["cells", "not a run directory"]);
    // Its own settings hold, so that none may be given.
    let settings = [
        "--data",
        "--out",
        "--recipe",
        "--precision",
        "--split",
        "--config",
        "--init",
        "--teacher",
        "--positive",
        "--exclude",
    ];
    let numbers = [
        "--epochs",
        "--batch-size",
        "--lr",
        "--seed",
        "--threads",
        "--target-sensitivity",
        "--target-specificity",
    ];
    for (flag, value) in
        settings.map(|flag| (flag, "random")).into_iter().chain(numbers.map(|flag| (flag, "1")))
    {
        let value = match flag {
            "--recipe" => "fast",
            "--precision" => "float32",
            _ => value,
        };
        refuse(train().args(["--resume", "cells", flag, value]), &["--resume", flag, "cannot be used with"]);
    }
    for flag in ["--calibrate", "--skip-corrupt", "--download"] {
        refuse(train().args(["--resume", "cells", flag]), &["--resume", flag, "cannot be used with"]);
    }
    refuse(train().args(["--data", "cells", "--recipe", "slow"]), &["slow", "fast, tutorial, best or field"]);
    refuse(train().args(["--data", "cells", "--device", "cuda:99"]), &["cuda"]);
    let flags: [(&str, &str, &str); 11] = [
        ("--precision", "bf16", "auto, float32, bfloat16"),
        ("--epochs", "0", "whole number from 1 on"),
        ("--epochs", "-3", "whole number from 1 on"),
        ("--batch-size", "0", "whole number from 1 on"),
        ("--threads", "two", "whole number from 1 on"),
        ("--threads", "100000", "1 to 1024"),
        ("--seed", "-1", "whole number from 0"),
        ("--lr", "0", "number above 0"),
        ("--lr", "inf", "number above 0"),
        ("--target-specificity", "97", "did you mean 0.97?"),
        ("--target-sensitivity", "-0.1", "fraction from 0 to 1"),
    ];
    for (flag, value, expected) in flags {
        refuse(
            train().args(["--data", "cells", "--config", "tiny.json", flag, value]),
            &[flag.trim_start_matches('-'), value, expected],
        );
    }
    // A picture is no place for JSON, wherever the flag stands.
    refuse(malaria("predict").current_dir(here).args(["--json", "cells"]), &["--json", "cells", ".json"]);
    refuse(malaria("predict").current_dir(here).args(["--run", "cells", "cells"]), &["not a run directory"]);
    refuse(
        malaria("predict").current_dir(here).arg("a.png").env("MALARIA_RUN", "x"),
        &["MALARIA_RUN", "x", "no such folder"],
    );
    let both = ["--progress", "json", "--json"];
    refuse(train().args(both), &["--progress json", "name a file"]);
    refuse(malaria("cross-validate").args(["--out", "x"]).args(both), &["--progress json", "name a file"]);
    refuse(malaria("predict").current_dir(here).args(["--run", "tiny.json", "cells"]), &["not a folder"]);
    refuse(malaria("cross-validate").args(["--out", "x", "--folds", "1"]), &["--folds", "from 2 on"]);
    refuse(malaria("export").current_dir(here).args(["--out", "model.txt"]), &["--out", ".onnx", ".pt"]);
    refuse(
        malaria("export").args(["--out", "model.onnx", "--max-sensitivity-loss", "5"]),
        &["--max-sensitivity-loss", "0.05"],
    );
    assert!(
        !bench.path("run").exists() && !bench.path("runs").exists(),
        "what is refused leaves no run behind"
    );

    // A setting that nobody knows is named, with its line.
    let text = fs::read_to_string(bench.path("tiny.json")).unwrap().replacen("\"epochs\"", "\"epoch\"", 1);
    fs::write(bench.path("typo.json"), text).unwrap();
    let said = fail(train().args(["--data", "cells", "--config", "typo.json"]));
    assert!(said.contains("typo.json") && said.contains("epoch"), "{said}");
}

#[test]
fn what_can_be_known_before_pictures_are_read_is_not_left_for_later() {
    let bench = Workbench::new();
    fs::write(bench.path("nobody.csv"), "path\n").unwrap();
    fs::write(bench.path("others.csv"), "path\nUninfected/another.png\n").unwrap();
    fs::write(bench.path("file"), "").unwrap();
    let cases: [(&[&str], &[&str]); 7] = [
        (&["--positive", "sick"], &["--positive", "Parasitized"]),
        (&["--exclude", "nobody.csv"], &["exclude", "none in nobody.csv"]),
        (&["--exclude", "others.csv"], &["exclude", "another.png"]),
        (&["--init", "cells"], &["init", "cells", "not a run directory"]),
        (&["--teacher", "cells"], &["teacher", "not a run directory"]),
        (&["--split", "given"], &["not a split tree"]),
        (&["--split", "all", "--calibrate"], &["--calibrate", "--split all"]),
    ];
    for (flags, words) in cases {
        let said = fail(bench.train("run").args(flags));
        assert!(words.iter().all(|word| said.contains(word)), "{flags:?}: {said}");
        assert!(!said.contains("reading images"), "{flags:?}: {said}");
    }
    // A file where a folder is to be made; and one whose figures would be taken for cells, or whose name no JSON holds.
    let said = fail(&mut bench.train("file"));
    assert!(said.contains("file: it is not a folder") && !said.contains("reading images"), "{said}");
    for program in [bench.train("cells/run"), bench.train("cells"), bench.cross_validate("cells/new/run")] {
        let mut program = program;
        let said = fail(&mut program);
        assert!(said.contains("setting `out`") && said.contains("outside the data folder"), "{said}");
    }
    assert_eq!(fs::read_dir(bench.path("cells")).unwrap().count(), 2, "something was left among the cells");
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let name = std::ffi::OsStr::from_bytes(b"run\xff");
        let said = fail(bench.train("run").arg("--init").arg(name));
        assert!(said.contains("setting `init`") && said.contains("UTF-8"), "{said}");
    }
    // A folder where a file is to be written, and one file for two things.
    succeed(bench.train("run").args(["--epochs", "1"]));
    let evaluate = |flags: &[&str]| {
        let mut command = malaria("evaluate");
        let said = fail(
            command.current_dir(bench.folder.path()).args(["--run", "run", "--data", "cells"]).args(flags),
        );
        assert!(!said.contains("reading images"), "{flags:?}: {said}");
        said
    };
    assert!(evaluate(&["--report", "cells"]).contains("this is a folder"));
    assert!(evaluate(&["--json", "nowhere/a.json"]).contains("make it first"));
    assert!(evaluate(&["--json", "a.json", "--report", "a.json"]).contains("a file of its own"));
    assert!(evaluate(&["--prevalence", "2"]).contains("did you mean 0.02?"));
    // A refused going on leaves no lock behind.
    let config = fs::read_to_string(bench.path("run/config.json")).unwrap();
    let newer = config.replacen("\"format_version\": 2", "\"format_version\": 99", 1);
    assert!(newer != config, "{config}");
    fs::write(bench.path("run/config.json"), newer).unwrap();
    fs::remove_file(bench.path("run/run.lock")).unwrap();
    let said = fail(malaria("train").arg("--resume").arg(bench.path("run")));
    assert!(said.contains("expected format version 2, found 99"), "{said}");
    assert!(!bench.path("run/run.lock").exists());
    let said = fail(malaria("predict").arg("--run").arg(bench.path("run")).arg(bench.path("cells")));
    assert!(said.contains("expected format version 2, found 99"), "{said}");
}

#[test]
fn a_split_tree_wants_a_folder_of_its_own() {
    let bench = Workbench::new();
    let build = |out: &str, more: &[&str]| {
        let mut command = malaria("build-dataset");
        command.current_dir(bench.folder.path()).args(["--data", "cells", "--out", out]).args(more);
        command
    };
    fs::create_dir_all(bench.path("taken/Parasitized")).unwrap();
    let said = fail(&mut build("taken", &[]));
    assert!(said.contains("holds `Parasitized` besides training"), "{said}");
    assert_eq!(fs::read_dir(bench.path("taken")).unwrap().count(), 1, "nothing was written");
    fs::write(bench.path("file"), "a list of cells").unwrap();
    let said = fail(&mut build("file", &[]));
    assert!(said.contains("is not an empty folder") && said.contains("give another name"), "{said}");
    assert_eq!(fs::read_to_string(bench.path("file")).unwrap(), "a list of cells");
    let said = fail(&mut build("tree", &["--split", "given"]));
    assert!(said.contains("--split") && said.contains("random") && said.contains("patient"), "{said}");
    succeed(&mut build("tree", &["--split", "patient"]));
    succeed(&mut build("tree", &["--split", "patient"]));
}

#[test]
fn a_corrupt_image_stops_a_run_or_is_left_out_by_name() {
    let bench = Workbench::new();
    let bad = bench.path("cells/Uninfected/C1P0ThinF_IMG_20150101_cell_9.png");
    fs::write(&bad, b"\x89PNG\r\n\x1a\n and no more").unwrap();
    fs::write(bench.path("cells/Uninfected/Thumbs.db"), b"not an image").unwrap();
    let said = fail(&mut bench.train("run"));
    assert!(said.contains("cell_9.png") && said.contains("help: --skip-corrupt"), "{said}");

    let output = bench.train("run").args(["--skip-corrupt", "--epochs", "1"]).output().unwrap();
    let said = support::errors(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("left out as they cannot be read: 1") && said.contains("cell_9.png"), "{said}");
    assert!(said.contains("left out as they are not images: 1"), "{said}");
    assert_eq!(rows(&bench.path("run/split.csv")).len(), CELLS);

    // `predict` classifies the others, shows the reason, and fails.
    let output =
        malaria("predict").arg("--run").arg(bench.path("run")).arg(bad.parent().unwrap()).output().unwrap();
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
fn a_damaged_weights_file_is_a_clear_error() {
    let bench = Workbench::new();
    succeed(bench.train("run").args(["--epochs", "1"]));
    let weights = bench.path("run/weights.safetensors");
    let whole = fs::read(&weights).unwrap();
    for bytes in [&whole[..whole.len() / 2], b"\x89PNG\r\n\x1a\n", b""] {
        fs::write(&weights, bytes).unwrap();
        let said = fail(malaria("predict").arg("--run").arg(bench.path("run")).arg(bench.path("cells")));
        assert!(said.contains("weights.safetensors"), "{said}");
    }
}

#[test]
fn a_run_directory_belongs_to_one_run() {
    let bench = Workbench::new();
    succeed(bench.train("run").args(["--epochs", "1"]));
    let resume = || fail(malaria("train").current_dir(bench.folder.path()).args(["--resume", "run"]));
    let said = fail(&mut bench.train("run"));
    assert!(said.contains("a finished run") && said.contains("help: choose another --out\n"), "{said}");
    // Its test set is not read a second time.
    assert!(resume().contains("is finished"), "{}", resume());
    // Nor is one thrown away that has not come to its end.
    fs::remove_file(bench.path("run/metrics.json")).unwrap();
    let said = fail(&mut bench.train("run"));
    assert!(said.contains("malaria train --resume run") && said.contains("another --out"), "{said}");
    // Changed data are noticed when the run goes on.
    let cell = fs::read_dir(bench.path("cells/Uninfected")).unwrap().next().unwrap().unwrap().path();
    fs::remove_file(&cell).unwrap();
    let said = resume();
    assert!(said.contains(cell.file_name().unwrap().to_str().unwrap()), "{said}");
}

#[test]
#[cfg(unix)]
fn a_download_that_waits_ends_with_ctrl_c_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for words in [&["download"][..], &["train", "--download"]] {
        let mut download = malaria(words[0]);
        // Nobody listens there: it would wait, and try again, for half a minute.
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
fn the_same_picture_under_several_names_is_told_of() {
    let bench = Workbench::new();
    let cell = bench.path("cells/Parasitized/C1P0ThinF_IMG_20150101_cell_0.png");
    for patient in 2..=16 {
        let name = format!("cells/Parasitized/C{patient}P1ThinF_IMG_20150101_cell_8.png");
        fs::copy(&cell, bench.path(&name)).unwrap();
    }
    fs::copy(&cell, bench.path("cells/Uninfected/C1P0ThinF_IMG_20150101_cell_8.png")).unwrap();
    let output = bench.train("run").args(["--epochs", "1"]).output().unwrap();
    let said = support::errors(&output);
    assert!(output.status.success(), "{said}");
    for words in [
        "stand in more than one set, byte for byte: 1\n",
        "one label is wrong: 1\n",
        "    Parasitized/C10P1ThinF_IMG_20150101_cell_8.png = ",
        " = Uninfected/C1P0ThinF_IMG_20150101_cell_8.png\n",
    ] {
        assert!(said.contains(words), "{words}:\n{said}");
    }
    let page = fs::read_to_string(bench.path("run/report.html")).unwrap();
    assert!(page.contains("in folders of more than one class: 1."), "the page says nothing of it");
}
