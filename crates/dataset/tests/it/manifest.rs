//! Manifests: written, restored, compared with changed and other folders.

use std::fs;

use malaria_dataset::{
    Error, Fingerprint, Index, LoadOptions, Loaded, Manifest, Protocol, Split, SplitConfig, Subset,
    duplicates, load, read_manifest, split, write_manifest,
};

use crate::support::{Folder, split_of};

pub(crate) fn fingerprints(index: &Index) -> Vec<Fingerprint> {
    (0..index.samples.len()).map(|i| Fingerprint::of(&fs::read(index.full_path(i)).unwrap())).collect()
}

/// Ten files, some with names that need quotes in CSV or that sort differently by component.
fn data() -> Folder {
    Folder::with(&[
        "Parasitized/C1P1thinF_1.png",
        "Parasitized/C2P1thinF_\"quoted\", with comma.png",
        "Parasitized/C3P1thinF_é.png",
        "Parasitized/nobody.png",
        "Parasitized/sub/C1P1thinF_1.png",
        "Uninfected/C1_1.png",
        "Uninfected/C2_1.png",
        "Uninfected/C3_1.png",
        "Uninfected/C4_1.png",
        "Uninfected/C5_1.png",
    ])
}

fn made(index: &Index) -> Split {
    let config =
        SplitConfig { test_fraction: 0.3, validation_fraction: 0.3, seed: 5, ..SplitConfig::default() };
    split(index, &config).unwrap()
}

/// The manifest of a split, written and read again.
fn manifest(index: &Index, split: &Split) -> Manifest {
    let folder = Folder::new();
    let path = folder.join("split.csv");
    write_manifest(&path, index, split, &fingerprints(index)).unwrap();
    read_manifest(&path).unwrap()
}

/// The subsets that the cells of a folder have in a manifest.
fn subsets(manifest: &Manifest, folder: &Folder) -> Vec<Option<Subset>> {
    let index = folder.open();
    manifest.match_index(&index, &fingerprints(&index)).unwrap()
}

#[test]
fn a_fingerprint_is_size_and_sha256() {
    // The vector of FIPS 180-4.
    let fingerprint = Fingerprint::of(b"abc");
    assert_eq!(fingerprint.bytes, 3);
    assert_eq!(fingerprint.hex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

#[test]
fn a_written_split_is_restored() {
    let (data, out) = (data(), Folder::new());
    let index = data.open();
    let prints = fingerprints(&index);
    let written = made(&index);
    let path = out.join("split.csv");
    write_manifest(&path, &index, &written, &prints).unwrap();

    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "path,class,patient,subset,bytes,sha256");
    assert_eq!(lines.len(), 11);
    let subset = written.subset_by_sample(10)[3].unwrap();
    let expected = format!("Parasitized/nobody.png,Parasitized,,{subset},22,{}", prints[3].hex());
    assert_eq!(lines[4], expected);
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 1, "no temporary file is left");

    let manifest = read_manifest(&path).unwrap();
    let resolved = manifest.resolve(&index, &prints).unwrap();
    assert_eq!(resolved.config.protocol, Protocol::Given);
    assert_eq!(Split { config: written.config, ..resolved }, written);
    assert_eq!(manifest.entries[0].patient.as_deref(), Some("C1"));
    // The order of rows does not matter.
    let mut reversed = manifest.clone();
    reversed.entries.reverse();
    assert_eq!(Split { config: written.config, ..reversed.resolve(&index, &prints).unwrap() }, written);
}

#[test]
fn a_written_split_with_protocol_all_is_restored() {
    let data = data();
    let index = data.open();
    let written = split(&index, &SplitConfig { protocol: Protocol::All, ..SplitConfig::default() }).unwrap();
    let resolved = manifest(&index, &written).resolve(&index, &fingerprints(&index)).unwrap();
    assert_eq!(resolved, written);
}

#[test]
fn excluded_samples_are_written_without_a_subset() {
    let data = data();
    let index = data.open();
    let mut written = made(&index);
    let left_out = written.train.pop().unwrap();
    let manifest = manifest(&index, &written);
    assert_eq!(manifest.entries[left_out].subset, None);
    assert_eq!(manifest.resolve(&index, &fingerprints(&index)).unwrap().train, written.train);
    assert_eq!(subsets(&manifest, &data)[left_out], None);
}

#[test]
fn a_changed_folder_is_refused_with_the_first_ten_changes_of_each_kind() {
    let data = data();
    let manifest = manifest(&data.open(), &made(&data.open()));
    let refused = |parts: &[&str]| {
        let index = data.open();
        let message = manifest.resolve(&index, &fingerprints(&index)).unwrap_err().to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{parts:?}: {message}");
        assert!(!message.contains("new_08"), "{message}");
    };

    fs::remove_file(data.join("Uninfected/C5_1.png")).unwrap();
    data.write("Uninfected/C6_1.png", b"new");
    data.write("Uninfected/C7_1.png", b"new too");
    // Same length, so only the hash differs.
    data.write("Parasitized/nobody.png", b"parasitized/nobody.png");
    refused(&[
        "1 missing (`Uninfected/C5_1.png`)",
        "2 added (`Uninfected/C6_1.png`, `Uninfected/C7_1.png`)",
        "1 changed (`Parasitized/nobody.png`)",
    ]);
    for i in 0..30 {
        data.write(&format!("Uninfected/new_{i:02}.png"), b"");
    }
    refused(&["32 added", "new_07", "and 22 more"]);
}

/// Cells of several patients in `data`, two of them the same picture, and their copies in the other folder: under other names in
/// another order, one deeper, and two with their names exchanged.
fn moved_cells() -> (Folder, Folder) {
    let (data, elsewhere) = (Folder::of_cells(4), Folder::new());
    let read = |name: &str| fs::read(data.join(name)).unwrap();
    data.write("Uninfected/C9P9thinF_IMG_1_cell_0.png", &read("Uninfected/C1P9thinF_IMG_1_cell_0.png"));
    let index = data.open();
    for (i, sample) in index.samples.iter().enumerate() {
        let class = &index.classes[sample.class];
        let name = match sample.path.as_str() {
            path @ "Parasitized/C1P9thinF_IMG_1_cell_0.png" => path.replace("cell_0", "cell_1"),
            path @ "Parasitized/C1P9thinF_IMG_1_cell_1.png" => path.replace("cell_1", "cell_0"),
            "Parasitized/C4P9thinF_IMG_1_cell_0.png" => format!("{class}/deeper/1.png"),
            _ => format!("{class}/{:02}.png", 50 - i),
        };
        elsewhere.write(&name, &read(&sample.path));
    }
    (data, elsewhere)
}

fn loaded(folder: &Folder) -> Loaded {
    load(folder.open(), LoadOptions { size: 8, ..LoadOptions::default() }).unwrap()
}

#[test]
fn moved_and_renamed_cells_take_their_places_in_the_manifest() {
    let (data, elsewhere) = moved_cells();
    let (there, mut here) = (loaded(&data), loaded(&elsewhere));
    assert_ne!(here.fingerprints, there.fingerprints, "the same order: nothing is tested");
    let written = made(&there.index);
    let manifest = manifest(&there.index, &written);
    // Before the alignment, the positions differ but each subset has the same cells.
    let contents = |loaded: &Loaded, cells: &[usize]| {
        let mut contents: Vec<_> = cells.iter().map(|&i| loaded.fingerprints[i]).collect();
        contents.sort_unstable();
        contents
    };
    let resolved = manifest.resolve(&here.index, &here.fingerprints).unwrap();
    for subset in Subset::ALL {
        assert_eq!(contents(&here, resolved.subset(subset)), contents(&there, written.subset(subset)));
    }

    // Twice, since aligned cells must stay in place.
    for _ in 0..2 {
        manifest.align(&mut here).unwrap();
        assert!(here.cells == there.cells, "the pixels are in another order");
        assert_eq!(here.fingerprints, there.fingerprints);
        for (i, (moved, sample)) in here.index.samples.iter().zip(&there.index.samples).enumerate() {
            let of = |sample: &malaria_dataset::Sample| {
                (sample.path.clone(), sample.patient.clone(), sample.class)
            };
            assert_eq!(of(moved), of(sample));
            let file = here.index.full_path(i);
            assert_eq!(Fingerprint::of(&fs::read(file).unwrap()), here.fingerprints[i], "{moved:?}");
        }
        let resolved = manifest.resolve(&here.index, &here.fingerprints).unwrap();
        assert_eq!(Split { config: written.config, ..resolved }, written);
    }
}

#[test]
fn a_cell_of_another_class_or_a_missing_copy_is_not_a_move() {
    let (data, elsewhere) = moved_cells();
    let manifest = manifest(&data.open(), &made(&data.open()));
    let cell = "Parasitized/C1P9thinF_IMG_1_cell_0.png";
    let copy = "Uninfected/C9P9thinF_IMG_1_cell_0.png";
    let refused = |words: &[&str]| {
        let mut loaded = loaded(&elsewhere);
        let before = loaded.clone();
        let error = manifest.align(&mut loaded).unwrap_err();
        assert!(matches!(error, Error::DataChanged { .. }) && loaded == before, "{error}");
        assert!(words.iter().all(|word| error.to_string().contains(word)), "{error}");
    };
    // One of two copies is missing. The second entry of the manifest is reported, since the first one finds the other copy.
    fs::remove_file(elsewhere.join("Uninfected/42.png")).unwrap();
    refused(&["1 missing", copy]);
    elsewhere.write("Uninfected/42.png", &fs::read(data.join(copy)).unwrap());
    manifest.align(&mut loaded(&elsewhere)).unwrap();
    fs::rename(elsewhere.join(cell.replace("cell_0", "cell_1").as_str()), elsewhere.join("Uninfected/a.png"))
        .unwrap();
    refused(&[&format!("1 missing (`{cell}`)"), "1 added (`Uninfected/a.png`)"]);
}

#[test]
fn cells_are_recognised_by_contents_in_another_folder() {
    let data = data();
    let index = data.open();
    let written = made(&index);
    let bytes = |i: usize| fs::read(index.full_path(i)).unwrap();
    let elsewhere = Folder::with(&["b/unknown.png"]);
    elsewhere.write("a/renamed.png", &bytes(written.train[0]));
    elsewhere.write("b/renamed.png", &bytes(written.test[0]));
    let found = subsets(&manifest(&index, &written), &elsewhere);
    assert_eq!(found, [Some(Subset::Train), Some(Subset::Test), None]);
}

#[test]
fn contents_in_several_subsets_match_their_own_path_else_the_first_subset() {
    let data = Folder::with(&["a/1.png", "a/2.png", "b/1.png", "b/2.png", "b/3.png"]);
    data.write("b/2.png", b"a/1.png");
    let split = split_of(&[0, 2], &[1], &[3, 4]);
    let manifest = manifest(&data.open(), &split);
    assert_eq!(subsets(&manifest, &data), split.subset_by_sample(5));
    let elsewhere = Folder::with(&["a/x.png", "b/x.png"]);
    elsewhere.write("b/x.png", b"a/1.png");
    assert_eq!(subsets(&manifest, &elsewhere), [None, Some(Subset::Train)]);
}

#[test]
fn cells_of_the_nih_are_recognised_by_name_in_another_format() {
    const CELL: &str = "C33P1thinF_IMG_20150619_114756a_cell_179";
    let data = Folder::new();
    data.write(&format!("Parasitized/{CELL}.webp"), b"small");
    data.write("Parasitized/C1.webp", b"another name");
    data.write("Uninfected/C6NThinF_IMG_20150609_122108_cell_1.webp", b"tested");
    let manifest = manifest(&data.open(), &split_of(&[0, 1], &[], &[2]));

    // In the order of their paths.
    let original = Folder::new();
    original.write("Parasitized/C1.png", b"another cell with that name");
    original.write(&format!("Parasitized/nested/{CELL}.png"), b"as published");
    original.write(&format!("Uninfected/{CELL}.png"), b"a cell of the other class");
    original.write("Uninfected/C6NThinF_IMG_20150609_122108_cell_1.PNG", b"also as published");
    assert_eq!(subsets(&manifest, &original), [None, Some(Subset::Train), None, Some(Subset::Test)]);
}

#[test]
fn duplicates_are_found_within_and_across_subsets() {
    let data = Folder::with(&["a/1.png", "a/2.png", "a/3.png", "a/4.png", "b/1.png", "b/2.png", "b/3.png"]);
    data.write("a/2.png", b"twice in one subset");
    data.write("a/3.png", b"twice in one subset");
    data.write("a/1.png", b"in every subset");
    data.write("b/1.png", b"in every subset");
    data.write("b/2.png", b"in every subset");
    let index = data.open();
    let found = duplicates(&index, &fingerprints(&index), &split_of(&[0, 1, 2, 6], &[3, 4], &[5]));
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].samples, [0, 4, 5]);
    assert!(found[0].across_subsets && found[0].across_classes);
    assert_eq!(found[1].samples, [1, 2]);
    assert!(!found[1].across_subsets && !found[1].across_classes);
}

#[test]
fn invalid_manifests_are_refused_with_the_line() {
    let folder = Folder::new();
    let path = folder.join("split.csv");
    let head = "path,class,patient,subset,bytes,sha256\n";
    let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let row = format!("a/1.png,a,,train,3,{hash}\n");
    for (text, line, part) in [
        (String::new(), 1, "expected the columns"),
        ("path,class\na,b\n".to_owned(), 1, "found path,class"),
        (head.to_owned(), 1, "no rows"),
        (format!("{head}{row}a/2.png,a,,train,3\n"), 3, "fields"),
        (format!("{head}{row}a/2.png,a,,training,3,{hash}\n"), 3, "training"),
        (format!("{head}{row}a/2.png,a,,train,-3,{hash}\n"), 3, "invalid digit"),
        (format!("{head}a/2.png,a,,train,3,ba78\n"), 2, "64 hexadecimal digits"),
        (format!("{head}a/2.png,a,,train,3,{}\n", hash.replace("ba", "+a")), 2, "64 hexadecimal digits"),
        (format!("{head}{row}{row}"), 3, "is already on line 2"),
    ] {
        fs::write(&path, &text).unwrap();
        let error = read_manifest(&path).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Table { line: found, .. } if found == line), "{text}: {message}");
        assert!(message.contains(part) && message.contains("split.csv"), "{text}: {message}");
    }
    assert!(matches!(read_manifest(&folder.join("none.csv")), Err(Error::File(_))));
}

#[test]
fn one_fingerprint_per_sample_is_required() {
    let data = data();
    let index = data.open();
    let prints = fingerprints(&index);
    let path = data.join("split.csv");
    let refused = write_manifest(&path, &index, &made(&index), &prints[1..]);
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("is 9; expected one per sample, 10"), "{message}");
    assert!(!path.exists());
}
