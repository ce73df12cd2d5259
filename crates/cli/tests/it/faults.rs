//! Faults during a run: each is named in its error, and no finished epoch is lost.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{CELLS, Training, Workbench, fail, finished, progress, succeed};

fn some_cell(bench: &Workbench) -> PathBuf {
    bench.path("cells/Uninfected/C2P1ThinF_IMG_20150101_cell_4.png")
}

#[test]
fn a_run_does_not_need_the_files_of_its_cells_after_loading() {
    let bench = Workbench::new();
    let training = Training::in_second_epoch(&mut bench.train("run"));
    fs::rename(bench.path("cells"), bench.path("moved")).unwrap();
    let (code, said) = training.end();
    assert_eq!(code, Some(0), "{said}");
    assert!(bench.weights("run") == finished().weights("run"));
    assert!(bench.path("run/report.html").exists());
}

#[test]
fn unreadable_files_among_the_cells_are_named() {
    let bench = Workbench::new();
    let folder = bench.path("cells/Uninfected");
    // Opening a pipe would block forever.
    let pipe = folder.join("C3P2ThinF_IMG_20150101_cell_7.png");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::create_dir(folder.join("C3P2ThinF_IMG_20150101_cell_8.png")).unwrap();
    let said = progress(bench.train("run").args(["--epochs", "1"]));
    assert!(said.contains("or not regular files: 1 (`Uninfected/C3P2"), "{said}");
    assert_eq!(fs::read_to_string(bench.path("run/split.csv")).unwrap().lines().count(), CELLS + 1);

    let lost = folder.join("C3P2ThinF_IMG_20150101_cell_9.png");
    symlink("nowhere.png", &lost).unwrap();
    let said = fail(&mut bench.train("another"));
    assert!(said.contains(lost.file_name().unwrap().to_str().unwrap()), "{said}");
    assert!(!bench.path("another").exists());
    let said = progress(bench.train("without").args(["--epochs", "1", "--skip-corrupt"]));
    assert!(said.contains("cell_9.png: cannot be read"), "{said}");
}

#[test]
fn cells_that_do_not_fit_into_memory_are_refused_with_their_size() {
    let bench = Workbench::new();
    // 9,600 cells of 50 MB each: 483 GB.
    let cell = some_cell(&bench);
    for copy in 0..9_600 - CELLS {
        let name = format!("C{}P1ThinF_IMG_20150101_cell_{}.png", 1 + copy % 20, 100 + copy);
        fs::hard_link(&cell, cell.with_file_name(name)).unwrap();
    }
    bench.change_settings("\"pixels\":16", "\"pixels\":4096");
    bench.change_settings("\"input_size\":16", "\"input_size\":4096");
    let said = fail(&mut bench.train("run"));
    assert!(said.contains("9600 cells of 4096 x 4096") && said.contains("483.2 GB"), "{said}");
    assert!(!bench.path("run").exists());
}

#[test]
fn a_diverging_run_ends_and_names_the_learning_rate() {
    let bench = Workbench::new();
    let said = fail(bench.train("run").args(["--lr", "1e30"]));
    assert!(said.contains("the loss became") && said.contains("learning rate"), "{said}");
    assert!(!bench.path("run/weights.safetensors").exists());
}

/// A small file system in memory, mounted on a new folder.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(folder: &Path) -> Self {
        fs::create_dir(folder).unwrap();
        let disk = Self(folder.to_owned());
        disk.tool("mount", &["-t", "tmpfs", "-o", "size=4m", "tmpfs"]);
        disk
    }

    fn tool(&self, name: &str, arguments: &[&str]) {
        let status = Command::new(name).args(arguments).arg(&self.0).status().unwrap();
        assert!(status.success(), "{name} {arguments:?} failed");
    }

    /// Fills the disk and returns the file that takes the space.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0; 256]).is_ok() {}
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[test]
#[ignore = "mounts a small file system, which takes root: cargo test -p malaria-cli --test it faults:: -- --ignored"]
fn a_full_disk_ends_the_run_which_then_resumes() {
    let bench = Workbench::new();
    let disk = SmallDisk::mount(&bench.path("disk"));
    for epoch in 1..=5 {
        let run = format!("disk/run-{epoch}");
        let mut training = Training::start(&mut bench.train(&run));
        for _ in 0..epoch {
            training.event("checkpoint-written");
        }
        let filler = disk.fill();
        let (code, said) = training.end();
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("No space left"), "{said}");
        assert!(said.contains(&run), "{said}");
        fs::remove_file(filler).unwrap();
        let left: Vec<_> =
            fs::read_dir(bench.path(&run)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains(".writing-")), "{left:?}");

        succeed(&mut bench.resume(&run));
        assert!(bench.weights(&run) == finished().weights("run"), "full after epoch {epoch}");
        fs::remove_dir_all(bench.path(&run)).unwrap();
    }
}

#[test]
#[ignore = "mounts a small file system, which takes root: cargo test -p malaria-cli --test it faults:: -- --ignored"]
fn a_read_only_disk_is_refused_before_training() {
    let bench = Workbench::new();
    let disk = SmallDisk::mount(&bench.path("disk"));
    disk.tool("mount", &["-o", "remount,ro"]);
    let said = fail(&mut bench.train("disk/run"));
    assert!(said.contains("disk/run") && said.contains("Read-only"), "{said}");
}

#[test]
#[ignore = "gives up its privileges, which takes root: cargo test -p malaria-cli --test it faults:: -- --ignored"]
fn missing_permissions_are_named_and_the_run_resumes() {
    let bench = Workbench::new();
    // Root may read and write everything, so another user owns the files and runs the program.
    let chown = Command::new("chown").args(["--recursive", "65534"]).arg(bench.folder.path()).status();
    assert!(chown.unwrap().success());
    let as_nobody = |command: Command| {
        let mut nobody = Command::new("setpriv");
        nobody.args(["--reuid=65534", "--clear-groups"]).arg(command.get_program()).args(command.get_args());
        nobody.current_dir(bench.folder.path());
        nobody
    };
    let chmod = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();

    let cell = some_cell(&bench);
    chmod(&cell, 0o000);
    let said = fail(&mut as_nobody(bench.train("run")));
    assert!(said.contains(cell.file_name().unwrap().to_str().unwrap()), "{said}");
    assert!(said.contains("Permission denied"), "{said}");
    chmod(&cell, 0o644);

    let mut training = Training::start(&mut as_nobody(bench.train("run")));
    training.event("checkpoint-written");
    chmod(&bench.path("run"), 0o555);
    let (code, said) = training.end();
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("run/") && said.contains("Permission denied"), "{said}");
    chmod(&bench.path("run"), 0o755);
    succeed(&mut as_nobody(bench.resume("run")));
    assert!(bench.weights("run") == finished().weights("run"));
}

mod slow {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn a_batch_that_does_not_fit_into_memory_ends_the_run_with_advice() {
        let bench = Workbench::new();
        // Eight cells of 4096 px: 1.6 GB before the first layer, and as much again after it.
        bench.change_settings("\"pixels\":8}", "\"pixels\":4096}");
        let train = bench.train("run");
        let mut limited = Command::new("sh");
        limited
            .args(["-c", "ulimit -v 4000000; exec \"$0\" \"$@\""])
            .arg(train.get_program())
            .args(train.get_args());
        let said = fail(limited.current_dir(bench.folder.path()));
        assert!(said.contains("epoch 1, batch 1 of") && said.contains("8 cells of 4096 px"), "{said}");
        assert!(said.contains("allocate") && said.contains("smaller batches"), "{said}");
        // On one line, without libtorch's call stack.
        let error = said.lines().find(|line| line.starts_with("error: ")).unwrap();
        assert!(error.ends_with("; the last checkpoint is untouched") && !said.contains("frame #"), "{said}");
    }
}
