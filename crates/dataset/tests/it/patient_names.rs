//! The patients of cells: NLM's names, patterns and tables.

use std::fs;
use std::path::PathBuf;

use malaria_dataset::{
    Error, Index, Link, LoadOptions, PatientNames, PatientPattern, SplitConfig, Subset, build_tree,
    list_images, load, split, write_manifest,
};

use crate::manifest::fingerprints;
use crate::support::Folder;

fn pattern(text: &str) -> PatientNames {
    PatientNames::Pattern(text.parse().unwrap())
}

fn patients(index: &Index) -> Vec<Option<&str>> {
    index.samples.iter().map(|sample| sample.patient.as_deref()).collect()
}

/// A folder with names of another form: cells of P1, P2 and Müller, and one without a patient.
fn clinic() -> Folder {
    Folder::with(&[
        "Parasitized/P1_1.png",
        "Parasitized/P2_1.png",
        "Uninfected/Müller_1.png",
        "Uninfected/x.png",
    ])
}

#[test]
fn the_group_of_a_pattern_is_the_patient() {
    let cases: [(&str, [Option<&str>; 4]); 6] = [
        (r"([^/_]+)_[^/]*$", [Some("P1"), Some("P2"), Some("Müller"), None]),
        // Letters outside ASCII.
        (r"(\w+)_\d", [Some("P1"), Some("P2"), Some("Müller"), None]),
        // The path begins with the class folder, without the given one.
        (r"^Parasitized/(?:[A-Z])(\d)_", [Some("1"), Some("2"), None, None]),
        // A group that is empty or does not take part in the match gives no patient.
        (r"/P?(\d*)", [Some("1"), Some("2"), None, None]),
        (r"/(P\d)?", [Some("P1"), Some("P2"), None, None]),
        (r"/(?<patient>P1)_|x", [Some("P1"), None, None, None]),
    ];
    for (text, expected) in cases {
        let mut index = clinic().open();
        index.set_patients(&pattern(text)).unwrap();
        assert_eq!(patients(&index), expected, "{text}");
        let unknown = index.unknown_patients().unwrap();
        let first = expected.iter().position(Option::is_none).unwrap();
        let cells = expected.iter().filter(|patient| patient.is_none()).count();
        assert_eq!((unknown.cells, unknown.of, unknown.first), (cells, 4, index.samples[first].path.clone()));
    }
}

#[test]
fn patterns_that_find_no_patients_are_refused() {
    for (text, reason) in [
        ("P[0-9]+", "`P[0-9]+`, with 0 groups; expected a regular expression with one group"),
        ("(P)([0-9]+)", "with 2 groups; expected"),
        ("(P[0-9]+", "which is invalid: unclosed group; expected"),
    ] {
        let message = text.parse::<PatientPattern>().unwrap_err().to_string();
        assert!(message.contains(reason) && !message.contains('\n'), "{message}");
        let json = serde_json::json!({ "pattern": text });
        let message = serde_json::from_value::<PatientNames>(json).unwrap_err().to_string();
        assert!(message.contains(reason), "{message}");
    }
    let mut index = clinic().open();
    for (text, reason) in [
        (
            "(Q[0-9]+)_",
            "`(Q[0-9]+)_`, which finds no patient in any of the 4 paths; expected one that matches the paths of pictures, such as `Parasitized/P1_1.png`",
        ),
        // A patient with cells of two classes would be split into two.
        (
            "(.*)_",
            "finds the patient `Parasitized/P1`, with the class folder; expected a group that excludes it",
        ),
    ] {
        let message = index.set_patients(&pattern(text)).unwrap_err().to_string();
        assert!(message.contains(reason), "{message}");
    }
    assert_eq!(patients(&index), [None; 4]);
    // The folders of a patient below a class may be part of the name.
    let mut index = Folder::with(&["a/north/P1/x.png", "b/north/P1/x.png"]).open();
    index.set_patients(&pattern("^[^/]+/(.*)/")).unwrap();
    assert_eq!(patients(&index), [Some("north/P1"); 2]);
}

#[test]
fn a_table_gives_the_patients_by_path() {
    let (folder, tables) = (clinic(), Folder::new());
    let table = PatientNames::Table(tables.join("patients.csv"));
    // In any order, with semicolons, other columns, a byte order mark, spaces, and the same row twice.
    for text in [
        "File;Patient\n./Uninfected/Müller_1.png;M 1\nParasitized/P1_1.png;Q,1\n",
        "file,patient\nUninfected/x.png,\nUninfected/Müller_1.png,M 1\nParasitized/P1_1.png,\"Q,1\"\n",
        "\u{feff}age, patient ,file\r\n3, M 1 ,Uninfected/Müller_1.png\r\n4,\"Q,1\",Parasitized/P1_1.png\r\n4,\"Q,1\",Parasitized/P1_1.png\r\n",
        // Excel's first line, a comma in another column, empty rows, and spaces that cannot be seen.
        "sep=;\r\nfile;patient;age, sex\r\nParasitized/P1_1.png;Q,1;3, f\r\n;;\r\n\r\nUninfected/Müller_1.png\u{200b};\u{a0}M 1\u{feff};\r\n",
        // Words for an unknown patient.
        "file,patient\nUninfected/x.png,#N/A\nParasitized/P2_1.png, Unknown \nUninfected/Müller_1.png,M 1\nParasitized/P1_1.png,\"Q,1\"\n",
    ] {
        tables.write("patients.csv", text.as_bytes());
        let mut index = folder.open();
        index.set_patients(&table).unwrap();
        assert_eq!(patients(&index), [Some("Q,1"), None, Some("M 1"), None], "{text}");
        assert_eq!(index.unknown_patients().unwrap().first, "Parasitized/P2_1.png");
    }
}

#[test]
fn invalid_tables_are_refused_with_the_line() {
    let (folder, tables) = (clinic(), Folder::new());
    let path = tables.join("patients.csv");
    let mut index = folder.open();
    for (text, line, part) in [
        ("", 1, "expected the columns file,patient, found "),
        ("path,patient\nUninfected/x.png,P1\n", 1, "found path,patient"),
        ("file,patient,file\na,b,c\n", 1, "found file,patient,file"),
        ("file,patient\nUninfected/x.png\n", 2, "fields"),
        (
            "file,patient\nUninfected/x.png,P1\nx.png,P1\n",
            3,
            "expected the path of a picture below the folder, with `/` between its parts, such as \
             `Parasitized/P1_1.png`; found `x.png`, which is not one",
        ),
        ("file,patient\nUninfected\\x.png,P1\n", 2, "found `Uninfected\\x.png`"),
        (
            "file,patient\nUninfected/x.png,P1\nUninfected/x.png,P2\n",
            3,
            "expected one patient for `Uninfected/x.png`; found `P2`, and `P1` on line 2",
        ),
        ("file,patient\nUninfected/x.png,\"P1\nParasitized/P1_1.png,P2\n", 2, "is a quote not closed?"),
        ("file,patient\nUninfected/x.png,P1\nUninfected/x.png,\n", 3, "found ``, and `P1` on line 2"),
        (
            "sep=,\r\nfile,patient\r\nUninfected/x.png,P1\r\n\r\nx.png,P1\r\n",
            5,
            "found `x.png`, which is not one",
        ),
        (
            "file,patient\nUninfected/Mu\u{308}ller_1.png,P1\n",
            2,
            "in `Uninfected/Müller_1.png`, letters with accents are encoded in another way (Unicode NFC or NFD)",
        ),
    ] {
        fs::write(&path, text).unwrap();
        let error = index.set_patients(&PatientNames::Table(path.clone())).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Table { line: found, .. } if found == line), "{text}: {message}");
        assert!(message.contains(part) && message.contains("patients.csv"), "{text}: {message}");
    }
    let none = PatientNames::Table(tables.join("none.csv"));
    assert!(matches!(index.set_patients(&none), Err(Error::File(_))));
    let folder = index.set_patients(&PatientNames::Table(tables.join(""))).unwrap_err().to_string();
    assert!(
        folder.contains("is a folder; expected a CSV file with the columns file and patient"),
        "{folder}"
    );
    assert_eq!(patients(&index), [None; 4]);
}

#[test]
fn patient_names_round_trip_through_json() {
    for (names, json) in [
        (PatientNames::Nlm, r#""nlm""#),
        (pattern(r"(\d+)_"), r#"{"pattern":"(\\d+)_"}"#),
        (PatientNames::Table(PathBuf::from("a/b.csv")), r#"{"table":"a/b.csv"}"#),
    ] {
        assert_eq!(serde_json::to_string(&names).unwrap(), json);
        assert_eq!(serde_json::from_str::<PatientNames>(json).unwrap(), names);
    }
    assert_ne!(pattern("(a)"), pattern("(b)"));
}

#[test]
fn the_same_names_apply_to_a_folder_and_its_tree() {
    let (data, out) = (Folder::of_cells(6), Folder::new());
    let mut index = data.open();
    let config = SplitConfig { validation_fraction: 0.3, stratified: true, ..SplitConfig::default() };
    let split = split(&index, &config).unwrap();
    build_tree(&index, &split, out.path(), Link::Copy).unwrap();
    let rows: String =
        index.samples.iter().map(|sample| format!("{},of {}\n", sample.path, &sample.path[..20])).collect();
    out.write("patients.csv", format!("file,patient\n{rows}").as_bytes());
    for names in [pattern("^[^/]+/C([0-9]+)P"), PatientNames::Table(out.join("patients.csv"))] {
        index.set_patients(&names).unwrap();
        let mut tree = out.open();
        tree.set_patients(&names).unwrap();
        assert!(
            index.unknown_patients().is_none() && tree.samples.iter().all(|sample| sample.subset.is_some())
        );
        for sample in &tree.samples {
            let original = index.samples.iter().find(|found| sample.path.ends_with(&found.path)).unwrap();
            assert_eq!(sample.patient, original.patient, "{}", sample.path);
        }
    }
}

#[test]
fn images_to_classify_are_named_by_their_paths_below_the_folders() {
    let (north, south) = (Folder::with(&["P1/a.png", "P2/a.png"]), Folder::with(&["P1/b.png", "c.png"]));
    let given =
        [north.path().to_owned(), south.path().to_owned(), south.join("c.png"), north.join("P2/a.png")];
    let listed = |given: &[PathBuf], names: &PatientNames| -> Result<Vec<(String, Option<String>)>, Error> {
        let name = |path: PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
        let images = list_images(given, names)?.images;
        let mut found: Vec<_> = images.into_iter().map(|image| (name(image.path), image.patient)).collect();
        found.sort();
        Ok(found)
    };
    let expected = |names: [Option<&str>; 4]| {
        let files = ["a.png", "a.png", "b.png", "c.png"].map(str::to_owned);
        files.into_iter().zip(names.map(|name| name.map(str::to_owned))).collect::<Vec<_>>()
    };
    let found = listed(&given, &pattern("^(P[0-9])/")).unwrap();
    assert_eq!(found, expected([Some("P1"), Some("P2"), Some("P1"), None]));
    // For a given file, the name.
    assert_eq!(
        listed(&given[3..], &pattern("^(.*)$")).unwrap(),
        [("a.png".to_owned(), Some("a.png".to_owned()))]
    );
    assert!(
        listed(&given[3..], &pattern("^(P[0-9])/")).unwrap_err().to_string().contains("any of the 1 paths")
    );

    let tables = Folder::with(&[]);
    let table = PatientNames::Table(tables.join("patients.csv"));
    tables.write("patients.csv", b"file,patient\nP1/a.png,A\nc.png,C\n");
    assert_eq!(listed(&given, &table).unwrap(), expected([None, Some("A"), None, Some("C")]));
    south.write("P1/a.png", b"");
    let message = listed(&given, &table).unwrap_err().to_string();
    assert!(message.contains("line 2: ") && message.contains("which is the path of several"), "{message}");
}

#[test]
fn a_manifest_keeps_the_patients_and_the_classes() {
    let (data, out) = (Folder::of_cells(6), Folder::new());
    let mut index = data.open();
    index.set_patients(&pattern("C([0-9])P")).unwrap();
    let path = out.join("split.csv");
    let prints = fingerprints(&index);
    let made = split(&index, &SplitConfig::default()).unwrap();
    write_manifest(&path, &index, &made, &prints).unwrap();
    let manifest = malaria_dataset::read_manifest(&path).unwrap();
    assert_eq!(manifest.resolve(&index, &prints).unwrap().train, made.train);

    // With other names the same cells belong to other patients.
    let mut other = data.open();
    let message = manifest.resolve(&other, &prints).unwrap_err().to_string();
    assert!(
        message.contains("cell_0.png` is a cell of C1; in `")
            && message.ends_with("split.csv` it is one of 1"),
        "{message}"
    );
    other.classes[1] = "uninfected".to_owned();
    manifest.restore_classes(&mut other);
    let mut loaded = load(other, LoadOptions { size: 8, ..LoadOptions::default() }).unwrap();
    manifest.align(&mut loaded).unwrap();
    assert_eq!(loaded.index, index);

    // So training patients are found by either of their names.
    let subsets = manifest.match_index(&index, &prints).unwrap();
    let nobody = vec![None; index.samples.len()];
    let test = &made.test[..1];
    assert!(manifest.shares_patients(&index, &nobody, test));
    let renamed = data.open();
    assert!(!manifest.shares_patients(&renamed, &nobody, test));
    assert!(manifest.shares_patients(&renamed, &subsets, test));
    assert!(subsets[test[0]] == Some(Subset::Test));
}
