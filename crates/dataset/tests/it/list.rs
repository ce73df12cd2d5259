//! Lists of images to classify: from files and folders, each once.

use std::fs;
use std::path::{Path, PathBuf};

use malaria_dataset::{PatientNames, list_images};

use crate::support::Folder;

/// The listed paths, and the number of ignored files.
fn list(given: &[PathBuf]) -> (Vec<PathBuf>, usize) {
    let listed = list_images(given, &PatientNames::Nlm).unwrap();
    (listed.images.into_iter().map(|image| image.path).collect(), listed.ignored.len())
}

#[test]
fn images_are_listed_from_files_and_folders() {
    let folder = Folder::with(&[
        "z.png",
        "cells/b.jpg",
        "cells/deep/a.PNG",
        "cells/notes.txt",
        "cells/.x.png",
        "odd.dat",
    ]);
    let given = ["z.png", "odd.dat", "cells", "cells/b.jpg", "cells"].map(|name| folder.join(name));
    let expected = ["cells/b.jpg", "cells/deep/a.PNG", "odd.dat", "z.png"].map(|name| folder.join(name));
    // notes.txt and .x.png.
    assert_eq!(list(&given), (expected.to_vec(), 2));
    let refused = |path: &Path, words: &str| {
        let message = list_images(&[path.to_path_buf()], &PatientNames::Nlm).unwrap_err().to_string();
        assert!(message.contains(words), "{message}");
    };
    refused(&folder.join("none.png"), "none.png` does not exist");
    fs::create_dir(folder.join("empty")).unwrap();
    refused(&folder.join("empty"), "empty` holds no image");
    folder.write("phone/IMG_0.HEIC", b"");
    refused(
        &folder.join("phone"),
        "skipped because they are pictures in formats that cannot be read: 1 (`IMG_0.HEIC`): save them as JPEG or PNG",
    );
    #[cfg(unix)]
    refused(Path::new("/dev/null"), "neither a file nor a folder");
}

#[test]
fn notes_name_skipped_pictures_and_doubtful_patients() {
    let folder = Folder::with(&[
        "A/day1/x.png",
        "B/day1/x.png",
        "B/Day01/x.png",
        "B/y.heif",
        "B/z.ZIP",
        "B/notes.txt",
    ]);
    let pattern = PatientNames::Pattern("([^/]+)/".parse().unwrap());
    let notes = |given: &[&str]| {
        let given: Vec<PathBuf> = given.iter().map(|name| folder.join(name)).collect();
        list_images(&given, &pattern).unwrap().notes
    };
    let [skipped, merged, similar] = &notes(&["A", "B"])[..] else { panic!("{:?}", notes(&["A", "B"])) };
    let [heif, zip, text] =
        ["B/y.heif", "B/z.ZIP", "B/notes.txt"].map(|name| folder.join(name).display().to_string());
    assert_eq!(
        *skipped,
        format!(
            "skipped because they are pictures in formats that cannot be read: 1 (`{heif}`): save them as JPEG or PNG; \
             skipped because they are archives: 1 (`{zip}`): unpack them; skipped because they are not images: 1 (`{text}`)"
        )
    );
    assert!(merged.contains("count as one patient each: `day1`; if"), "{merged}");
    assert!(similar.ends_with("count as different patients: `Day01`, `day1`"), "{similar}");
    // From the folder above, the patients are A and B.
    assert_eq!(notes(&[""]).len(), 1);
    assert!(notes(&["A"]).is_empty());
}

#[test]
fn folders_of_systems_are_not_listed() {
    let system = [
        "$RECYCLE.BIN/S-1/b.png",
        "System Volume Information/c.png",
        "deep/@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg",
        ".Trashes/501/d.png",
        "lost+found/e.png",
        "#recycle/f.png",
    ];
    let folder = Folder::with(&system);
    folder.write("deep/a.png", b"");
    assert_eq!(list(&[folder.join("")]), (vec![folder.join("deep/a.png")], 0));
}

#[test]
fn a_file_given_twice_is_listed_once_under_its_first_name() {
    let folder = Folder::with(&["a.png", "odd.dat", "deep/b.png"]);
    let at = |name: &str| folder.join(name);
    let images = [at("deep/../a.png"), at("deep/b.png")];
    assert_eq!(list(&[at("deep/../a.png"), at("a.png"), at("")]), (images.to_vec(), 1));
    // A listed file does not count as ignored.
    assert_eq!(list(&[at(""), at("odd.dat")]).1, 0);
}

#[cfg(unix)]
#[test]
fn a_link_to_a_listed_image_is_not_listed_again() {
    let folder = Folder::with(&["a.png"]);
    std::os::unix::fs::symlink("a.png", folder.join("b.png")).unwrap();
    std::os::unix::fs::symlink("nowhere.png", folder.join("c.png")).unwrap();
    assert_eq!(list(&[folder.join("")]).0, ["a.png", "c.png"].map(|name| folder.join(name)));
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf8_are_listed() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let folder = Folder::with(&["a.png"]);
    let at = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
    for name in [b"\xff.png".as_slice(), b"\xff.txt", b"._\xff.png"] {
        fs::write(at(name), b"").unwrap();
    }
    assert_eq!(list(&[folder.path().to_owned()]), (vec![at(b"a.png"), at(b"\xff.png")], 2));
}
