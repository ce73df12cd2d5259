//! Files and folders after each call and after failures.

use std::fs;
use std::io::Write;
use std::path::Path;

use malaria_files::{
    Error, create_folder, persist, printable, read_csv, read_json, remove_temporary_files, temporary_file,
    with_causes, write,
};

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn writing_replaces_the_old_file_and_leaves_no_temporary_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other_name) = (folder.path().join("a.csv"), folder.path().join("b.csv"));
    write(&path, b"old").unwrap();
    fs::hard_link(&path, &other_name).unwrap();
    write(&path, b"new").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert_eq!(fs::read(&other_name).unwrap(), b"old", "the old file was modified");
    assert_eq!(names(folder.path()), ["a.csv", "b.csv"]);
}

#[test]
fn a_temporary_file_that_is_not_put_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let mut file = temporary_file(&path).unwrap();
    file.write_all(b"half of").unwrap();
    let seen = names(folder.path());
    assert!(seen.len() == 1 && seen[0].starts_with(".a.csv.writing-"), "{seen:?}");
    drop(file);
    assert!(names(folder.path()).is_empty());
}

#[test]
fn failures_leave_the_folder_unchanged() {
    let folder = tempfile::tempdir().unwrap();
    let occupied = folder.path().join("occupied");
    fs::create_dir(&occupied).unwrap();
    assert!(write(&occupied, b"x").is_err());
    assert!(write(&folder.path().join("missing").join("a"), b"x").is_err());
    assert!(persist(temporary_file(&occupied.join("a")).unwrap(), &occupied).is_err());
    assert_eq!(names(folder.path()), ["occupied"]);
    assert!(names(&occupied).is_empty());
}

#[cfg(unix)]
#[test]
fn links_and_devices_are_written_through() {
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
fn files_with_the_longest_possible_name_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("n".repeat(255));
    write(&path, b"x").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"x");
}

#[cfg(unix)]
#[test]
fn written_files_have_the_permissions_of_new_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (ours, plain) = (folder.path().join("ours"), folder.path().join("plain"));
    write(&ours, b"x").unwrap();
    fs::write(&plain, b"x").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
}

#[test]
fn sweep_removes_only_temporary_files() {
    let folder = tempfile::tempdir().unwrap();
    let left = temporary_file(&folder.path().join("checkpoint.safetensors")).unwrap();
    left.keep().unwrap();
    for other in ["checkpoint.safetensors", ".hidden", "my.writing-desk"] {
        fs::write(folder.path().join(other), "x").unwrap();
    }
    assert_eq!(names(folder.path()).len(), 4);
    remove_temporary_files(folder.path()).unwrap();
    assert_eq!(names(folder.path()), [".hidden", "checkpoint.safetensors", "my.writing-desk"]);
}

#[test]
fn a_folder_appears_when_it_is_complete() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("deep/cells");
    let filled = create_folder(&path, |folder| {
        fs::create_dir(folder.join("a")).unwrap();
        fs::write(folder.join("a/1.png"), "x").unwrap();
        assert!(!path.exists());
        Ok::<_, Error>(7)
    });
    assert_eq!(filled.unwrap(), 7);
    assert_eq!(fs::read(path.join("a/1.png")).unwrap(), b"x");
    assert_eq!(names(&parent.path().join("deep")), ["cells"]);
    // An empty folder is replaced, one with contents is not.
    let empty = parent.path().join("empty");
    fs::create_dir(&empty).unwrap();
    create_folder(&empty, |folder| fs::write(folder.join("b"), "y").map_err(Error::io("write", folder)))
        .unwrap();
    let occupied = create_folder(&empty, |_| -> Result<(), Error> { panic!("it must not be called") });
    assert!(matches!(occupied, Err(Error::Occupied { path }) if path == empty));
    assert_eq!(names(&empty), ["b"]);
}

#[test]
fn a_folder_that_cannot_be_filled_is_removed() {
    let parent = tempfile::tempdir().unwrap();
    let failed = create_folder(&parent.path().join("cells"), |folder| {
        fs::write(folder.join("half"), "x").unwrap();
        Err::<(), Error>(Error::Occupied { path: folder.to_owned() })
    });
    assert!(failed.is_err());
    assert!(names(parent.path()).is_empty());
}

#[cfg(unix)]
#[test]
fn temporary_folders_of_killed_processes_are_removed() {
    let parent = tempfile::tempdir().unwrap();
    let left = [".cells.writing-held", ".cells.writing-left", ".other.writing-left", "cells2"];
    for name in left {
        fs::create_dir_all(parent.path().join(name).join("a")).unwrap();
    }
    // A temporary folder of a running process.
    let held = fs::File::open(parent.path().join(left[0])).unwrap();
    held.lock().unwrap();
    create_folder(&parent.path().join("cells"), |_| Ok::<_, Error>(())).unwrap();
    assert_eq!(names(parent.path()), [left[0], left[2], "cells", left[3]]);
}

#[test]
fn tables_are_read_as_spreadsheets_and_editors_write_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    let read = |contents: &[u8]| {
        fs::write(&path, contents).unwrap();
        read_csv::<(String, String)>(&path, "a table").map_err(|error| error.to_string())
    };
    let expected = [("a,b.png".to_owned(), "7".to_owned())];
    for contents in [
        &b"\xef\xbb\xbffile,patient\r\n\"a,b.png\",7\r\n"[..],
        b"file;patient\na,b.png;7\n",
        b"file\tpatient\na,b.png\t7\n",
        b"sep=;\r\nfile;patient\r\na,b.png;7\r\n",
    ] {
        assert_eq!(read(contents).unwrap(), expected);
    }
    assert!(read(b"\xff\xfef\0i\0").unwrap_err().contains("UTF-16: save it as CSV in UTF-8"));
    for workbook in [&b"PK\x03\x04"[..], b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"] {
        assert!(read(workbook).unwrap_err().contains("workbook"));
    }
    // Excel's own encoding of ü.
    assert!(
        read(b"file,patient\nM\xfcller.png,7\n")
            .unwrap_err()
            .contains("not text in UTF-8: save it as CSV in UTF-8")
    );

    let path = folder.path().join("settings.json");
    fs::write(&path, "\u{feff}[1]").unwrap();
    assert_eq!(read_json::<Vec<u8>>(&path, "a list").unwrap(), [1]);
}

#[test]
fn codes_in_names_do_not_reach_the_terminal() {
    assert_eq!(printable("a\u{1b}[2Jb\r\u{9b}\tc\n\u{e9}"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}\tc\n\u{e9}");
}

#[test]
fn causes_are_named_once() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_json::<u8>(&folder.path().join("none.json"), "a number").unwrap_err();
    let text = with_causes(&error);
    assert_eq!(text.matches("No such file").count(), 1, "{text}");
}
