//! Split trees: contents, repeated builds, conflicts, links.

use std::fs;
use std::path::Path;

use malaria_dataset::{
    BuildReport, Error, Index, Link, Protocol, Split, SplitConfig, Subset, build_tree, split,
};

use crate::support::{Folder, split_of};

/// Two classes of ten files, with two files of the same name in nested folders.
fn data() -> Folder {
    let folder = Folder::with(&["a/one/same.png", "a/two/same.png"]);
    for i in 0..10 {
        if i < 8 {
            folder.write(&format!("a/{i}.png"), format!("a {i}").as_bytes());
        }
        folder.write(&format!("b/{i}.png"), format!("b {i}").as_bytes());
    }
    folder
}

fn made(index: &Index, seed: u64) -> Split {
    split(index, &SplitConfig { seed, ..SplitConfig::default() }).unwrap()
}

fn refusal(index: &Index, split: &Split, out: &Folder) -> String {
    build_tree(index, split, out.path(), Link::Copy).unwrap_err().to_string()
}

/// Contents of the files of one subset, sorted.
fn contents(index: &Index, subset: &[usize]) -> Vec<Vec<u8>> {
    let mut contents: Vec<_> = subset.iter().map(|&i| fs::read(index.full_path(i)).unwrap()).collect();
    contents.sort();
    contents
}

#[test]
fn each_tree_contains_one_subset_of_the_split() {
    let data = data();
    let index = data.open();
    let split = made(&index, 1);
    for link in [Link::Copy, Link::Hard, Link::Symlink] {
        let out = Folder::new();
        let tree = out.join("new/tree");
        let report = build_tree(&index, &split, &tree, link).unwrap();
        let expected =
            BuildReport { train: 15, validation: 1, test: 4, written: 20, ..BuildReport::default() };
        assert_eq!(report, expected);
        for subset in Subset::ALL {
            for &i in split.subset(subset) {
                let found = fs::read(tree.join(subset.folder()).join(&index.samples[i].path)).unwrap();
                assert_eq!(found, fs::read(index.full_path(i)).unwrap(), "{link:?}");
            }
        }
        // Files are listed directly, since an index could refuse a tree whose small validation set lacks a class.
        let files = walk(&tree);
        assert_eq!(files.len(), 20, "{link:?}: {files:?}");
        let link_type = fs::symlink_metadata(tree.join(&files[0])).unwrap().file_type();
        assert_eq!(link_type.is_symlink(), link == Link::Symlink);
    }
}

fn walk(tree: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(tree).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files.extend(walk(&path).into_iter().map(|below| format!("{name}/{below}")));
        } else {
            files.push(name);
        }
    }
    files
}

#[test]
fn a_written_tree_opens_as_the_same_split() {
    let data = data();
    let index = data.open();
    let config = SplitConfig { validation_fraction: 0.3, stratified: true, ..SplitConfig::default() };
    let split = malaria_dataset::split(&index, &config).unwrap();
    let out = Folder::new();
    build_tree(&index, &split, out.path(), Link::Copy).unwrap();
    let tree = out.open();
    let given = Split::given(&tree).unwrap();
    for subset in Subset::ALL {
        assert_eq!(contents(&tree, given.subset(subset)), contents(&index, split.subset(subset)));
    }
    // A tree built from the tree has the same paths.
    let again = Folder::new();
    build_tree(&tree, &given, again.path(), Link::Copy).unwrap();
    assert_eq!(again.open().samples, tree.samples);
}

#[test]
fn an_interrupted_build_is_completed_by_the_next() {
    let (data, out) = (data(), Folder::new());
    let index = data.open();
    let split = made(&index, 1);
    build_tree(&index, &split, out.path(), Link::Copy).unwrap();
    for &i in &split.test {
        fs::remove_file(out.join("testing").join(&index.samples[i].path)).unwrap();
    }
    // Left by a killed build.
    out.write("testing/a/.tmp-x1.png", b"half");
    let report = build_tree(&index, &split, out.path(), Link::Hard).unwrap();
    assert_eq!((report.written, report.kept), (4, 16));
    let report = build_tree(&index, &split, out.path(), Link::Symlink).unwrap();
    assert_eq!((report.written, report.kept), (0, 20));
}

#[test]
fn a_tree_of_another_split_is_refused() {
    let (data, out) = (data(), Folder::new());
    let index = data.open();
    build_tree(&index, &made(&index, 1), out.path(), Link::Copy).unwrap();
    let before = walk(out.path());
    let message = refusal(&index, &made(&index, 2), &out);
    let conflicts = message.split(" images that are not in this split").next().unwrap();
    let conflicts: usize = conflicts.rsplit(' ').next().unwrap().parse().unwrap();
    assert!(
        (1..20).contains(&conflicts),
        "images in the same subset of both splits do not conflict: {message}"
    );
    assert!(message.contains("nothing was written") && message.contains("testing"), "{message}");
    assert_eq!(walk(out.path()), before);
}

#[test]
fn existing_images_that_do_not_belong_to_the_split_are_refused_and_unchanged() {
    let (data, out) = (data(), Folder::new());
    let index = data.open();
    let split = made(&index, 1);
    let below = format!("testing/{}", index.samples[split.test[0]].path);
    out.write(&below, b"another image");
    out.write("training/b/stranger.png", b"");
    out.write("training/b/notes.txt", b"not an image");
    let message = refusal(&index, &split, &out);
    let stranger = out.join("training/b/stranger.png");
    let conflicts = format!(
        "holds 2 images that are not in this split, perhaps of another seed or data folder: `{}`, `{}`;",
        out.join(&below).display(),
        stranger.display()
    );
    assert!(message.contains(&conflicts), "{message}");
    assert_eq!(fs::read(out.join(&below)).unwrap(), b"another image");
    fs::remove_file(out.join(&below)).unwrap();
    fs::remove_file(stranger).unwrap();
    build_tree(&index, &split, out.path(), Link::Copy).unwrap();
}

#[test]
fn a_tree_in_or_around_the_data_folder_is_refused() {
    let data = data();
    let index = data.open();
    let split = made(&index, 1);
    let mut inside = vec![data.path().to_path_buf(), data.join("new/tree"), data.join("a/../b")];
    let elsewhere = Folder::new();
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(data.path(), elsewhere.join("link")).unwrap();
        inside.push(elsewhere.join("link/tree"));
    }
    for out in inside {
        let message = build_tree(&index, &split, &out, Link::Copy).unwrap_err().to_string();
        assert!(message.contains("lies in, the data folder"), "{message}");
    }
    assert_eq!(data.open(), index);
    // The folder around it could not be read as a tree afterwards; a folder beside it, as in the tutorial, is fine.
    let (around, inner) = (Folder::new(), "cell_images");
    for i in 0..20 {
        around.write(&format!("{inner}/{}/{i}.png", ["a", "b"][i % 2]), &[i as u8]);
    }
    let index = Index::open(&around.join(inner)).unwrap();
    let split = made(&index, 1);
    let message = refusal(&index, &split, &around);
    assert!(message.contains("holds `cell_images` besides training"), "{message}");
    build_tree(&index, &split, &around.join("malaria"), Link::Copy).unwrap();
}

#[test]
fn two_samples_with_the_same_target_are_refused() {
    // If a tree is split again, files with the same name may fall into the same subset.
    let folder = Folder::new();
    for (i, tree) in ["training", "validation", "testing"].into_iter().enumerate() {
        for class in ["a", "b"] {
            folder.write(&format!("{tree}/{class}/same.png"), &[i as u8]);
            folder.write(&format!("{tree}/{class}/{i}.png"), &[i as u8]);
        }
    }
    let out = Folder::new();
    let all_but_two: Vec<usize> = (2..12).collect();
    let message = refusal(&folder.open(), &split_of(&all_but_two, &[0], &[1]), &out);
    assert!(message.contains("would be the copy of both"), "{message}");
    assert!(walk(out.path()).is_empty());
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_differ_in_case_only_are_refused_before_anything_is_written() {
    // Other file systems can store only one of them.
    let (data, out) = (data(), Folder::new());
    data.write("a/C1.png", b"one");
    data.write("a/c1.png", b"another");
    let middle: Vec<usize> = (1..21).collect();
    let message = refusal(&data.open(), &split_of(&middle, &[0], &[21]), &out);
    let [first, second] = ["a/C1.png", "a/c1.png"].map(|name| data.join(name));
    let both = format!("would be the copy of both `{}` and `{}`", first.display(), second.display());
    assert!(message.contains(&both), "{message}");
    assert!(walk(out.path()).is_empty());
}

#[test]
fn duplicates_are_counted() {
    let (data, out) = (data(), Folder::new());
    for (path, contents) in [("a/0.png", "one"), ("a/1.png", "one"), ("a/2.png", "two"), ("b/1.png", "two")] {
        data.write(path, contents.as_bytes());
    }
    let middle: Vec<usize> = (1..19).collect();
    let split = split_of(&middle, &[0], &[19]);
    let report = build_tree(&data.open(), &split, out.path(), Link::Copy).unwrap();
    assert_eq!((report.duplicates_across, report.doubly_labelled), (1, 1));
}

#[test]
fn a_split_by_patient_that_leaks_is_refused() {
    let (data, out) = (Folder::of_cells(5), Folder::new());
    let index = data.open();
    let mut split = made(&index, 1);
    split.config.protocol = Protocol::Patient;
    let refused = build_tree(&index, &split, out.path(), Link::Copy);
    assert!(matches!(refused, Err(Error::InvalidSplit { .. })), "{refused:?}");
}

#[cfg(unix)]
#[test]
fn links_to_linked_samples_point_to_the_file() {
    let elsewhere = Folder::with(&["far/cell.png"]);
    let data = data();
    std::os::unix::fs::symlink(elsewhere.join("far/cell.png"), data.join("b/link.png")).unwrap();
    let index = data.open();
    let split = made(&index, 1);
    for link in [Link::Copy, Link::Hard, Link::Symlink] {
        let out = Folder::new();
        build_tree(&index, &split, out.path(), link).unwrap();
        let copy = walk(out.path()).into_iter().find(|path| path.ends_with("link.png")).unwrap();
        assert_eq!(fs::read(out.join(&copy)).unwrap(), b"far/cell.png", "{link:?}");
        assert_eq!(fs::symlink_metadata(out.join(&copy)).unwrap().is_symlink(), link == Link::Symlink);
    }
}

#[test]
fn kinds_of_link_parse_from_their_names() {
    for (name, link) in [("copy", Link::Copy), ("hard", Link::Hard), ("symlink", Link::Symlink)] {
        assert_eq!(name.parse::<Link>().unwrap(), link);
    }
    assert!("move".parse::<Link>().unwrap_err().to_string().contains("copy, hard, symlink"));
}

#[test]
fn a_tree_built_from_a_tree_has_one_spelling_for_each_class() {
    let data = Folder::with(&[
        "training/Parasitized/1.png",
        "training/Uninfected/1.png",
        "validation/parasitized/2.png",
        "validation/uninfected/deep/2.png",
        "testing/PARASITIZED/3.png",
        "testing/Uninfected/3.png",
    ]);
    let (index, out) = (data.open(), Folder::new());
    build_tree(&index, &Split::given(&index).unwrap(), out.path(), Link::Copy).unwrap();
    let mut files = walk(out.path());
    files.sort();
    assert_eq!(
        files,
        [
            "testing/Parasitized/3.png",
            "testing/Uninfected/3.png",
            "training/Parasitized/1.png",
            "training/Uninfected/1.png",
            "validation/Parasitized/2.png",
            "validation/Uninfected/deep/2.png",
        ]
    );
}
