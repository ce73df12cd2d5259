//! What is on disk after each call, and after each thing that can go wrong in it.

use std::fs;
use std::io::Write;
use std::path::Path;

use malaria_files::{beside, put, sweep, write};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_takes_the_place_of_the_old_one_and_leaves_nothing_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other_name) = (folder.path().join("a.csv"), folder.path().join("b.csv"));
    write(&path, b"old").unwrap();
    fs::hard_link(&path, &other_name).unwrap();
    write(&path, b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::read(&other_name).unwrap(), b"old", "the old file was written into");
    assert_eq!(names(folder.path()), ["a.csv", "b.csv"]);
}

#[test]
fn what_is_not_put_anywhere_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let mut file = beside(&path).unwrap();
    file.write_all(b"half of").unwrap();
    let seen = names(folder.path());
    assert!(seen.len() == 1 && seen[0].starts_with(".a.csv.writing-"), "{seen:?}");
    drop(file);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_failure_leaves_the_folder_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("occupied");
    fs::create_dir(&occupied).unwrap();
    assert!(write(&occupied, b"x").is_err());
    assert!(write(&folder.path().join("missing").join("a"), b"x").is_err());
    assert!(put(beside(&occupied.join("a")).unwrap(), &occupied).is_err());
    assert_eq!(names(folder.path()), ["occupied"]);
    assert!(names(&occupied).is_empty());
}

#[cfg(unix)]
#[test]
fn what_is_not_a_regular_file_stays_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("a.csv"), folder.path().join("link"));
    write(&path, b"old").unwrap();
    std::os::unix::fs::symlink("a.csv", &link).unwrap();
    write(&link, b"new").unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&path).unwrap(), b"new");

    let null = folder.path().join("null");
    std::os::unix::fs::symlink("/dev/null", &null).unwrap();
    write(&null, b"nothing").unwrap();
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    assert_eq!(names(folder.path()), ["a.csv", "link", "null"]);
}

#[test]
fn the_longest_name_that_a_file_may_have_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n".repeat(255));
    write(&path, b"x").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"x");
}

#[cfg(unix)]
#[test]
fn a_file_is_readable_to_those_that_new_files_are_readable_to() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
    write(&ours, b"x").unwrap();
    fs::write(&plain, b"x").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
}

#[test]
fn sweeping_takes_what_was_left_half_written_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let left = beside(&folder.path().join("checkpoint.safetensors")).unwrap();
    left.keep().unwrap();
    for other in ["checkpoint.safetensors", ".hidden", "my.writing-desk"] {
        fs::write(folder.path().join(other), "x").unwrap();
    }
    assert_eq!(names(folder.path()).len(), 4);
    sweep(folder.path()).unwrap();
    assert_eq!(names(folder.path()), [".hidden", "checkpoint.safetensors", "my.writing-desk"]);
}
