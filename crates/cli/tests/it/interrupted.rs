//! Programs that are stopped by Ctrl-C.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use image::{Rgb, RgbImage};

/// Number of pictures that [`write_pictures`] writes, several times as many as are classified at once.
pub(crate) const PICTURES: usize = 1_000;

/// Writes 20 copies of a picture of C11, and then copies of another picture of C12, to the new `folder`.
pub(crate) fn write_pictures(folder: &Path) {
    fs::create_dir(folder).unwrap();
    for (patient, blue, copies) in [("C11", 90, 20), ("C12", 120, PICTURES - 20)] {
        let path = |copy: usize| folder.join(format!("{patient}P1_cell_{copy}.png"));
        let picture = RgbImage::from_fn(400, 400, |x, y| Rgb([(x / 2) as u8, (y / 2) as u8, blue]));
        picture.save(path(0)).unwrap();
        (1..copies).for_each(|copy| fs::hard_link(path(0), path(copy)).unwrap());
    }
}

/// Starts a program and presses Ctrl-C as soon as it handles this.
pub(crate) fn interrupted(command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let handles_ctrl_c = || {
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or("0");
        // One bit per signal; SIGINT is number 2.
        u64::from_str_radix(caught.trim(), 16).unwrap() & 0b10 != 0
    };
    let start = Instant::now();
    while !handles_ctrl_c() {
        assert!(start.elapsed() < Duration::from_secs(60), "Ctrl-C is not handled");
        thread::sleep(Duration::from_millis(1));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    child.wait_with_output().unwrap()
}
