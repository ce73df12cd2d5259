//! Indexes of folders: layouts, order, ignored files, links, refused folders.

use std::fs;
use std::path::Path;

use malaria_dataset::{Error, Index, Subset};

use crate::support::Folder;

fn paths(index: &Index) -> Vec<&str> {
    index.samples.iter().map(|sample| sample.path.as_str()).collect()
}

#[test]
fn samples_are_sorted_with_class_and_patient() {
    let folder = Folder::with(&[
        "Uninfected/C1_thinF_IMG_1_cell_9.png",
        "Uninfected/C1_thinF_IMG_1_cell_10.PNG",
        "Parasitized/nested/deep/C33P1thinF_IMG_1_cell_2.JpEg",
        "Parasitized/C6NThinF_IMG_1_cell_1.tif",
        "Parasitized/other.webp",
    ]);
    let index = folder.open();
    assert_eq!(index.classes, ["Parasitized", "Uninfected"]);
    assert_eq!(
        paths(&index),
        [
            "Parasitized/C6NThinF_IMG_1_cell_1.tif",
            "Parasitized/nested/deep/C33P1thinF_IMG_1_cell_2.JpEg",
            "Parasitized/other.webp",
            "Uninfected/C1_thinF_IMG_1_cell_10.PNG",
            "Uninfected/C1_thinF_IMG_1_cell_9.png",
        ]
    );
    let patients: Vec<_> = index.samples.iter().map(|sample| sample.patient.as_deref()).collect();
    assert_eq!(patients, [Some("C6"), Some("C33"), None, Some("C1"), Some("C1")]);
    assert_eq!(index.class_counts(), [3, 2]);
    assert_eq!(index.patients(), 3);
    assert!(index.samples.iter().all(|sample| sample.subset.is_none()));
    assert_eq!(fs::read_to_string(index.full_path(1)).unwrap(), index.samples[1].path);
}

#[test]
fn samples_are_sorted_by_the_bytes_of_their_paths() {
    // Sorting by components, or ignoring case, would give another order.
    let folder = Folder::with(&["a/x.png", "a/c/x.png", "a/c.png", "a/C.png", "a/é.png", "b/x.png"]);
    assert_eq!(paths(&folder.open()), ["a/C.png", "a/c.png", "a/c/x.png", "a/x.png", "a/é.png", "b/x.png"]);
}

#[test]
fn other_files_are_counted_as_ignored() {
    let folder = Folder::with(&[
        "README.txt",
        ".hidden",
        "a/x.png",
        "a/Thumbs.db",
        "a/.DS_Store",
        "a/._x.png",
        "a/deep/notes.txt",
        "a/.git/y.png",
        "__MACOSX/a/._x.png",
        "b/x.png",
    ]);
    let index = folder.open();
    assert_eq!(paths(&index), ["a/x.png", "b/x.png"]);
    // Files in hidden folders are not counted.
    assert_eq!(index.ignored.len(), 6);
}

#[test]
fn samples_of_a_split_tree_have_a_subset() {
    let folder = Folder::with(&[
        "training/a/x.png",
        "training/b/deep/C2_x.png",
        "validation/a/y.png",
        "validation/b/y.png",
        "testing/a/z.png",
        "testing/b/z.png",
        "testing/notes.txt",
    ]);
    let index = folder.open();
    assert_eq!(index.classes, ["a", "b"]);
    let subsets: Vec<_> =
        index.samples.iter().map(|sample| (&*sample.path, sample.class, sample.subset)).collect();
    assert_eq!(
        subsets,
        [
            ("testing/a/z.png", 0, Some(Subset::Test)),
            ("testing/b/z.png", 1, Some(Subset::Test)),
            ("training/a/x.png", 0, Some(Subset::Train)),
            ("training/b/deep/C2_x.png", 1, Some(Subset::Train)),
            ("validation/a/y.png", 0, Some(Subset::Validation)),
            ("validation/b/y.png", 1, Some(Subset::Validation)),
        ]
    );
    assert_eq!(index.labels(), [0, 1, 0, 1, 0, 1]);
    assert_eq!(["a", "b", "c", ""].map(|name| index.class(name)), [Some(0), Some(1), None, None]);
    assert_eq!(index.samples[3].patient.as_deref(), Some("C2"));
    assert_eq!(index.ignored.len(), 1);
}

#[test]
fn trees_must_be_three_with_the_same_classes() {
    let folder =
        Folder::with(&["training/a/x.png", "training/b/x.png", "testing/a/x.png", "testing/b/x.png"]);
    folder.assert_refused("look like the subsets of a split");
    folder.write("validation/a/x.png", b"");
    folder.write("validation/c/x.png", b"");
    folder.assert_refused("`a`, `c`");
    folder.assert_refused("`a`, `b`");
    fs::rename(folder.join("validation/c"), folder.join("validation/b")).unwrap();
    folder.open();
    fs::create_dir(folder.join("more")).unwrap();
    folder.assert_refused("look like the subsets of a split");
}

#[test]
fn folders_named_like_subsets_of_a_split_are_not_classes() {
    let folder = Folder::with(&["Train/a/x.png", "Train/b/x.png", "test/a/x.png", "test/b/x.png"]);
    let meant = |folder: &Folder, names: &[&str]| {
        let names: Vec<String> =
            names.iter().map(|name| format!("`{}`", folder.join(name).display())).collect();
        format!("; did you mean {}?", names.join(" or "))
    };
    let message = folder.open_error();
    assert!(message.contains("`test`, `Train`") && message.contains("training, validation"), "{message}");
    assert!(message.ends_with(&meant(&folder, &["test", "Train"])), "{message}");
    // Regardless of the folders beside them.
    folder.write("docs/x.png", b"");
    assert!(folder.open_error().ends_with(&meant(&folder, &["test", "Train"])), "{}", folder.open_error());
    for (files, names) in [
        (["training_set/a/x.png", "training_set/b/x.png", "Test Set/x.png"], &["training_set"][..]),
        (["other/x.png", "test-data/a/x.png", "test-data/b/x.png"], &["test-data"]),
        (["testing/a/x.png", "testing/b/x.png", "other/x.png"], &["testing"]),
    ] {
        let folder = Folder::with(&files);
        assert!(folder.open_error().ends_with(&meant(&folder, names)), "{}", folder.open_error());
    }
    // Such a name with images directly in it is a class beside another one.
    Folder::with(&["test/x.png", "other/x.png"]).open();
}

#[test]
fn folders_that_hold_the_classes_are_not_classes() {
    let folder = Folder::with(&[
        "north/parasitized/x.png",
        "north/Uninfected/x.png",
        "south/parasitized/x.png",
        "south/Uninfected/x.png",
    ]);
    let message = folder.open_error();
    let [north, south] = ["north", "south"].map(|name| folder.join(name).display().to_string());
    assert!(message.starts_with(&format!("`{north}` holds class folders")), "{message}");
    assert!(message.ends_with(&format!("did you mean `{north}` or `{south}`?")), "{message}");
}

#[test]
fn class_folders_that_differ_only_in_case_are_refused() {
    let (folder, trees) = (Folder::new(), Folder::new());
    for file in ["Parasitized/x.png", "parasitized/y.png", "Uninfected/x.png"] {
        folder.write(file, b"");
        for subset in Subset::ALL {
            trees.write(&format!("{}/{file}", subset.folder()), b"");
        }
    }
    folder.assert_refused("holds `Parasitized`, `parasitized`, whose names differ only in case");
    trees.assert_refused("training` holds `Parasitized`, `parasitized`");
}

#[test]
fn classes_are_compared_without_case() {
    // Sorted by bytes, the classes of the last tree would be in the opposite order.
    let folder = Folder::with(&[
        "training/Parasitized/x.png",
        "training/Uninfected/x.png",
        "validation/parasitized/x.png",
        "validation/uninfected/x.png",
        "testing/parasitized/x.png",
        "testing/Uninfected/x.png",
    ]);
    let index = folder.open();
    assert_eq!((index.class_counts(), index.labels()), (vec![3, 3], vec![1, 0, 0, 1, 0, 1]));
    assert_eq!(index.classes, ["Parasitized", "Uninfected"]);
    fs::remove_dir_all(folder.join("training")).unwrap();
    fs::remove_dir_all(folder.join("validation")).unwrap();

    let mut index = Index::open(&folder.join("testing")).unwrap();
    assert_eq!(
        (index.classes.as_slice(), index.class("PARASITIZED")),
        (&["parasitized", "Uninfected"].map(str::to_owned)[..], Some(0))
    );
    index.spell_classes(["Parasitized", "PARASITIZED", "else"]);
    assert_eq!(index.classes, ["Parasitized", "Uninfected"]);
    assert_eq!(index.samples[1].path, "parasitized/x.png");
}

#[test]
fn paths_that_are_not_a_data_set_are_refused() {
    let folder = Folder::with(&["file"]);
    let refused = |path: &Path, at: &Path, words: &str| match Index::open(path).unwrap_err() {
        Error::Path { path, reason } => assert!(path == at && reason.contains(words), "{path:?}: {reason}"),
        other => panic!("{other}"),
    };
    let (none, file) = (folder.join("none"), folder.join("file"));
    refused(&none, &none, "does not exist");
    refused(&file, &file, "is not a folder");
    refused(folder.path(), folder.path(), "holds no class folder");
    folder.write("only/x.png", b"");
    refused(folder.path(), folder.path(), "holds only one class folder, `only`");
    folder.write("empty/notes.txt", b"");
    refused(folder.path(), &folder.join("empty"), "without any image (png, jpg");
    folder.write("empty/a.avif", b"");
    refused(
        folder.path(),
        &folder.join("empty"),
        "that cannot be read: 1 (`empty/a.avif`): save them as JPEG or PNG",
    );
    folder.write("cells.zip", b"");
    refused(&folder.join("cells.zip"), &folder.join("cells.zip"), "is an archive; unpack it");
    folder.write("set/Parasitized/x.png", b"");
    let class = folder.join("set/Parasitized");
    refused(&class, &class, &format!("did you mean `{}`?", folder.join("set").display()));
}

#[test]
fn a_class_folder_inside_another_is_refused() {
    let files = ["Parasitized/x.png", "Parasitized/more/uninfected/y.png", "Uninfected/x.png"];
    let (folder, tree) = (Folder::with(&files), Folder::new());
    for (subset, file) in Subset::ALL.iter().flat_map(|subset| files.map(|file| (subset, file))) {
        tree.write(&format!("{}/{file}", subset.folder()), b"");
    }
    for folder in [folder, tree] {
        folder.assert_refused("lies in a folder `uninfected` inside the class folder `Parasitized`");
    }
    // A second folder of the same name is a habit of unpacking.
    Folder::with(&["Parasitized/Parasitized/x.png", "Uninfected/x.png"]).open();
}

#[test]
fn the_error_names_a_data_set_one_folder_down() {
    let folder = Folder::with(&["cell_images/Parasitized/x.png", "cell_images/Uninfected/x.png"]);
    let meant = format!("did you mean `{}`?", folder.join("cell_images").display());
    folder.assert_refused(&meant);
    // Also beside other folders.
    folder.write("documents/notes.txt", b"");
    folder.assert_refused(&meant);
    // A single class folder with a nested folder is not a data set.
    let folder = Folder::with(&["only/a/x.png"]);
    assert!(!folder.open_error().contains("did you mean"), "{}", folder.open_error());
}

#[test]
fn a_second_copy_of_the_classes_is_refused() {
    // Kaggle's zip holds cell_images/cell_images/ beside the classes.
    let folder = Folder::with(&[
        "Parasitized/x.png",
        "Uninfected/x.png",
        "cell_images/Parasitized/x.png",
        "cell_images/Uninfected/x.png",
    ]);
    folder.assert_refused(&format!("`{}` holds a second copy", folder.join("cell_images").display()));
}

#[test]
fn retain_keeps_order_and_classes() {
    let mut index = Folder::with(&["a/1.png", "a/2.png", "b/1.png", "b/2.png"]).open();
    index.retain(|i, sample| i != 0 && sample.path != "b/2.png");
    assert_eq!(paths(&index), ["a/2.png", "b/1.png"]);
    assert_eq!(index.class_counts(), [1, 1]);
}

#[cfg(unix)]
mod links {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_to_files_and_folders_are_followed() {
        let elsewhere = Folder::with(&["one.png", "class/two.png"]);
        let folder = Folder::with(&["a/x.png"]);
        symlink(elsewhere.join("one.png"), folder.join("a/link.png")).unwrap();
        symlink(elsewhere.join("class"), folder.join("b")).unwrap();
        assert_eq!(paths(&folder.open()), ["a/link.png", "a/x.png", "b/two.png"]);
    }

    #[test]
    fn circular_links_are_refused_and_broken_links_are_unreadable_images() {
        let folder = Folder::with(&["a/deep/x.png", "b/x.png"]);
        symlink(folder.join("a"), folder.join("a/deep/again")).unwrap();
        folder.assert_refused(&format!("again` links back to `{}`", folder.join("a").display()));
        fs::remove_file(folder.join("a/deep/again")).unwrap();
        symlink(folder.join("nowhere"), folder.join("a/lost.png")).unwrap();
        assert_eq!(paths(&folder.open()), ["a/deep/x.png", "a/lost.png", "b/x.png"]);
        // Broken links that are hidden, such as an editor's lock, or have no image's extension are ignored.
        fs::rename(folder.join("a/lost.png"), folder.join("a/.#x.png")).unwrap();
        symlink(folder.join("nowhere"), folder.join("a/lost.txt")).unwrap();
        symlink(folder.join("nowhere"), folder.join("lost")).unwrap();
        let index = folder.open();
        assert_eq!(paths(&index), ["a/deep/x.png", "b/x.png"]);
        assert_eq!(index.ignored.len(), 3);
    }

    #[test]
    fn names_that_are_not_utf8_are_refused() {
        let folder = Folder::with(&["a/x.png", "b/x.png"]);
        fs::write(folder.join("a").join(OsStr::from_bytes(b"\xff.png")), b"").unwrap();
        folder.assert_refused("not UTF-8");
    }
}
