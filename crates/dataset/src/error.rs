//! What can go wrong between a folder on disk and an array of pixels.

use std::path::{Path, PathBuf};

use crate::changes::Changes;
#[cfg(feature = "download")]
use crate::download::problem::DownloadProblem;
#[cfg(feature = "download")]
use crate::wording::addresses;
use crate::wording::{displayed, listing, meant};

/// Result of this crate's functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An image file that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadImage {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it, such as "is empty" or what the decoder met.
    pub reason: String,
}

/// Every failure of this crate. Messages say where, what was expected, what was found and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read, write or list something.
    #[error("cannot {action} `{}`: {source}", path.display())]
    Io {
        /// What was being done, as a verb: "read", "list".
        action: &'static str,
        /// File or folder it was done to.
        path: PathBuf,
        /// The system's own words.
        source: std::io::Error,
    },
    /// A path that does not exist.
    #[error("`{}` does not exist; check the spelling and from which folder you start", path.display())]
    NoSuchPath {
        /// The path as it was given.
        path: PathBuf,
    },
    /// A file where a folder of class folders was expected.
    #[error("`{}` is not a folder; expected a folder with one sub-folder a class", path.display())]
    NotAFolder {
        /// The path as it was given.
        path: PathBuf,
    },
    /// A device, pipe or socket where images were expected.
    #[error("`{}` is neither a file nor a folder", path.display())]
    NotAnImageOrFolder {
        /// The path as it was given.
        path: PathBuf,
    },
    /// A name that cannot be written into a manifest.
    #[error("the name of `{}` is not UTF-8; rename it", path.display())]
    NotUtf8 {
        /// The file or folder.
        path: PathBuf,
    },
    /// A symbolic link that leads back to a folder it lies in.
    #[error("the link `{}` leads back to `{}`, in which it lies; remove the link", path.display(), ancestor.display())]
    LinkLoop {
        /// The link.
        path: PathBuf,
        /// The folder it leads to.
        ancestor: PathBuf,
    },
    /// A folder without any sub-folder.
    #[error("`{}` holds no class folder; expected one sub-folder a class, such as `Parasitized` and `Uninfected`", path.display())]
    NoClasses {
        /// The folder.
        path: PathBuf,
    },
    /// A folder with a single class folder.
    #[error("`{}` holds only one class folder, `{class}`; at least two are needed{}", path.display(), meant(hint.as_deref()))]
    OneClass {
        /// The folder.
        path: PathBuf,
        /// Its only sub-folder.
        class: String,
        /// A folder that looks like what was meant.
        hint: Option<PathBuf>,
    },
    /// A class folder without any image.
    #[error("the class folder `{}` holds no image (png, jpg, jpeg, bmp, tif, tiff, webp){}", path.display(), meant(hint.as_deref()))]
    EmptyClass {
        /// The class folder.
        path: PathBuf,
        /// A folder that looks like what was meant.
        hint: Option<PathBuf>,
    },
    /// A class folder that holds the classes beside it once more, as in Kaggle's copy of the NIH's set.
    #[error("`{}` holds the folders of the other classes once more, so cells would count twice; give that folder itself, or move it away", path.display())]
    NestedCopy {
        /// The folder inside.
        path: PathBuf,
    },
    /// Folders that are the sides of a split by their names, but not the three that are understood.
    #[error(
        "`{}` holds {}, of which some look like the sides of a split; expected exactly training, validation and testing, or class folders only",
        path.display(),
        listing(found)
    )]
    IncompleteTree {
        /// The folder.
        path: PathBuf,
        /// The folders in it.
        found: Vec<String>,
    },
    /// A folder for a split tree that holds other folders, too.
    #[error("`{}` holds {} besides training, validation and testing; give a new or an empty folder", out.display(), listing(found))]
    NotOnlyATree {
        /// The folder.
        out: PathBuf,
        /// The other folders in it.
        found: Vec<String>,
    },
    /// One tree of a split has other classes than the training tree.
    #[error("`{}` holds the classes {}; expected those of the training tree, {}", path.display(), listing(found), listing(expected))]
    ClassesDiffer {
        /// The folder of the tree.
        path: PathBuf,
        /// Classes of the training tree.
        expected: Vec<String>,
        /// Classes of this tree.
        found: Vec<String>,
    },
    /// A folder without any image below it.
    #[error("no image (png, jpg, jpeg, bmp, tif, tiff, webp) in `{}` or below it", path.display())]
    NoImages {
        /// The folder.
        path: PathBuf,
    },
    /// A word that is none of the known ones.
    #[error("`{found}` is no {what}; expected one of {expected}")]
    UnknownName {
        /// What the word should have named.
        what: &'static str,
        /// The word.
        found: String,
        /// The known words.
        expected: String,
    },
    /// A share that no side can have.
    #[error("{field} is {value}; expected a fraction above 0 and below 1, such as 0.2")]
    BadFraction {
        /// Name of the setting.
        field: &'static str,
        /// Its value.
        value: f64,
    },
    /// A number of folds that the data or the protocol cannot give.
    #[error("cannot make {folds} folds: {reason}")]
    BadFolds {
        /// Number of folds asked for.
        folds: usize,
        /// Why not.
        reason: &'static str,
    },
    /// A fold that there is not.
    #[error("there is no fold {number} of {of}: expected a number from 1 to {of}")]
    BadFold {
        /// The fold asked for.
        number: usize,
        /// Number of folds.
        of: usize,
    },
    /// A file name that tells no patient, where patients have to be kept together.
    #[error("the name of `{}` tells no patient; a split by patient expects names that begin with C and the patient's number, such as `C33P1thinF_IMG_20150619_114756a_cell_179.png`; else use the random split", path.display())]
    NoPatient {
        /// The file.
        path: PathBuf,
    },
    /// Fewer patients than sides or folds.
    #[error(
        "found {found} patients; expected at least {needed}, since each side of a split, and each fold of a cross-validation, needs its own; use the random split, or fewer folds"
    )]
    TooFewPatients {
        /// Number of patients found.
        found: usize,
        /// Number of patients needed.
        needed: usize,
    },
    /// A given split was asked of a folder that is not one.
    #[error("`{}` is not a split tree; expected the folders training, validation and testing in it", root.display())]
    NotASplitTree {
        /// The folder.
        root: PathBuf,
    },
    /// A side of a split without any sample.
    #[error(
        "the {subset} side of the split is empty ({samples} samples in all); give more data or another fraction"
    )]
    EmptySide {
        /// The side.
        subset: &'static str,
        /// Number of samples in the index.
        samples: usize,
    },
    /// A split that was made for another index.
    #[error(
        "the {subset} side of the split names sample {position}, but there are only {samples}; was the split made for other data?"
    )]
    OutOfRange {
        /// The side.
        subset: &'static str,
        /// The position it names.
        position: usize,
        /// Number of samples in the index.
        samples: usize,
    },
    /// A sample that stands twice in a split.
    #[error("`{path}` stands in the split twice: in {first} and in {second}")]
    OnTwoSides {
        /// Path of the sample below its root.
        path: String,
        /// Side of the first mention.
        first: &'static str,
        /// Side of the second mention, perhaps the same.
        second: &'static str,
    },
    /// A class that the train side has no sample of.
    #[error(
        "the train side of the split holds no sample of `{class}`; give more data, or use a stratified split"
    )]
    UntrainedClass {
        /// The class.
        class: String,
    },
    /// Patients whose cells a split by patient tears apart.
    #[error("{} patients have cells on more than one side of a split by patient: {}", patients.len(), listing(patients))]
    SharedPatients {
        /// Names of the patients.
        patients: Vec<String>,
    },
    /// Fingerprints that are not those of the index.
    #[error("{found} fingerprints were given for {expected} samples; expected one a sample")]
    FingerprintCount {
        /// Number of samples.
        expected: usize,
        /// Number of fingerprints.
        found: usize,
    },
    /// A manifest that cannot be understood.
    #[error("`{}`, line {line}: {reason}", path.display())]
    BadManifest {
        /// The manifest.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong there.
        reason: String,
    },
    /// A data folder that is not the one a manifest was written for, or no longer.
    #[error("`{}` does not hold the files of `{}`: {changes}; give the folder that the run was made with, or start a new run", root.display(), manifest.display())]
    DataChanged {
        /// The manifest.
        manifest: PathBuf,
        /// The data folder.
        root: PathBuf,
        /// What differs.
        changes: Box<Changes>,
    },
    /// An image file that cannot be used.
    #[error("`{}` {}", .0.path.display(), .0.reason)]
    BadImage(BadImage),
    /// Image files of a folder that cannot be used.
    #[error("{} of the images in `{}` cannot be used; mend, remove or skip them:{}", bad.len(), root.display(), lines(bad))]
    BadImages {
        /// The data folder.
        root: PathBuf,
        /// All of them, in the order of their paths.
        bad: Vec<BadImage>,
    },
    /// A class of which no image can be used.
    #[error("no image of the class `{class}` is left after {} that cannot be used:{}", bad.len(), lines(bad))]
    ClassLost {
        /// The class.
        class: String,
        /// All images that cannot be used, of any class.
        bad: Vec<BadImage>,
    },
    /// A side that cells cannot have.
    #[error("cells of {size} px a side were asked for; expected 1 to {most}")]
    BadSize {
        /// The side asked for, in pixels.
        size: u32,
        /// The longest side there may be, in pixels.
        most: u32,
    },
    /// Pixels that are no whole number of cells.
    #[error("{bytes} bytes are no whole number of cells of {size} x {size} x 3")]
    RaggedPixels {
        /// Side of a cell in pixels.
        size: u32,
        /// Number of bytes.
        bytes: usize,
    },
    /// More pixels than there is memory for.
    #[error(
        "{cells} cells of {size} x {size} x 3 bytes do not fit in memory; take a smaller size or fewer cells"
    )]
    NoMemory {
        /// Number of cells.
        cells: usize,
        /// Side of a cell in pixels.
        size: u32,
    },
    /// A folder to write to that is the data folder, or lies in it.
    #[error("`{}` is, or lies in, the data folder `{}`; give a folder elsewhere", out.display(), root.display())]
    InsideData {
        /// The folder to write to.
        out: PathBuf,
        /// The data folder.
        root: PathBuf,
    },
    /// Two samples that would be written under one name.
    #[error("`{}` and `{}` would both become `{}`, at least where case does not count; rename one of them", first.display(), second.display(), target.display())]
    SameTarget {
        /// The one sample's file.
        first: PathBuf,
        /// The other's.
        second: PathBuf,
        /// The name both would get.
        target: PathBuf,
    },
    /// Images in a tree that are no part of the split that is to be written.
    #[error("`{}` holds {} images that are not of this split, from another seed or data folder perhaps: {}; nothing was written; give an empty folder, or remove its training, validation and testing", out.display(), conflicts.len(), listing(&displayed(conflicts)))]
    TreeConflicts {
        /// The folder with the trees.
        out: PathBuf,
        /// All of these images.
        conflicts: Vec<PathBuf>,
    },
    /// A setting out of its range.
    #[error("{field} is {found}; expected {expected}")]
    BadSetting {
        /// Name of the setting.
        field: &'static str,
        /// Its value.
        found: String,
        /// What it may be.
        expected: &'static str,
    },
    /// A download that another process is at.
    #[cfg(feature = "download")]
    #[error("`{}` is being written by another process; wait for it to end", path.display())]
    DownloadBusy {
        /// The part of the archive that is there.
        path: PathBuf,
    },
    /// A download that was stopped on request.
    #[cfg(feature = "download")]
    #[error("the download was stopped; what has come in is kept, and the same command goes on with it")]
    DownloadStopped,
    /// A folder with the name of the downloaded one, but other contents.
    #[cfg(feature = "download")]
    #[error("`{}` holds {found} images; expected {expected}; move the folder around it away to download it again", path.display())]
    DownloadIncomplete {
        /// The class folder.
        path: PathBuf,
        /// Number of images expected.
        expected: usize,
        /// Number of images found.
        found: usize,
    },
    /// Cells that no address gave.
    #[cfg(feature = "download")]
    #[error("cannot download `{}`: {}; what has come in of the right file is kept for the next try", path.display(), addresses(failures))]
    DownloadFailed {
        /// The folder that was to be made.
        path: PathBuf,
        /// Each address with what was wrong there in the end.
        failures: Vec<(String, DownloadProblem)>,
    },
    /// Something where a new folder was to be made.
    #[error("`{}` is there already and is not an empty folder; nothing in it was touched; remove it or give another name", path.display())]
    Occupied {
        /// The folder that was to be made.
        path: PathBuf,
    },
}

/// A line for each, none left out: somebody has to mend them all.
fn lines(bad: &[BadImage]) -> String {
    bad.iter().map(|bad| format!("\n  `{}` {}", bad.path.display(), bad.reason)).collect()
}

impl Error {
    /// Wraps a system error with what was being done, and to which path.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
