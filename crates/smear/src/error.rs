//! The errors of this crate.

use std::path::PathBuf;

use thiserror::Error;

/// An error in reading a photograph, finding its cells or writing results.
#[derive(Debug, Error, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "kebab-case")]
#[non_exhaustive]
pub enum Error {
    /// The file is not a photograph that can be decoded.
    #[error(transparent)]
    Photo(#[from] malaria_dataset::Error),
    /// The picture is too small for a cell.
    #[error("the picture is {width} x {height} px; expected at least {min} px on each side")]
    TooSmall {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Minimum width and height in pixels.
        min: u32,
    },
    /// No part of the picture is lit.
    #[error("the picture is too dark: no part of it is lit; expected a bright field of view")]
    Dark,
    /// Nothing stands out from the background.
    #[error(
        "the picture is blank: no cell-sized object is darker than the background; expected stained cells"
    )]
    Blank,
    /// The dark area does not consist of single cells of one size.
    #[error(
        "this does not look like a thin smear: {share:.0} % of the dark area has the shape of cells of one \
         size; expected at least {min:.0} %"
    )]
    NotThinSmear {
        /// Percentage of the dark area that has the shape of cells.
        share: f32,
        /// The minimum.
        min: f32,
    },
    /// The cells are too small to be separated.
    #[error(
        "cells are {diameter:.0} px across; expected at least {min:.0} px: photograph with more magnification"
    )]
    CellsTooSmall {
        /// Typical diameter in pixels.
        diameter: f32,
        /// Minimum diameter in pixels.
        min: f32,
    },
    /// The rates of a patient cannot be computed.
    #[error(transparent)]
    Metrics(#[from] malaria_metrics::Error),
    /// A folder for results among the photographs.
    #[error("`{}` is inside `{}`, whose pictures are counted: name a folder elsewhere", path.display(), folder.display())]
    Inside {
        /// The place.
        path: PathBuf,
        /// The folder of photographs.
        folder: PathBuf,
    },
    /// Pictures that are results of an earlier count.
    #[error("`{}` contains the results of an earlier count: give the original photographs only, or move it away", place.display())]
    Results {
        /// The folder of the results.
        place: PathBuf,
    },
    /// A picture that is a result of an earlier count.
    #[error("`{}` is a result of an earlier count: give the original photographs only", path.display())]
    Annotated {
        /// The annotated photograph.
        path: PathBuf,
    },
    /// The record of a smear is not valid.
    #[error("not a valid reading of a smear: {reason}")]
    ReviewedSmear {
        /// What is wrong.
        reason: String,
    },
    /// A picture could not be written.
    #[error("cannot write {path}: {reason}")]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// A stable name for the kind of error, such as `not-thin-smear` or `photo-heic`, for programs with their own texts. A
    /// photograph that cannot be decoded has the key of its [`ImageProblem`](malaria_dataset::ImageProblem).
    #[must_use]
    pub fn key(&self) -> String {
        let name: &'static str = self.into();
        match self {
            Self::Photo(error) => match error.image_problem() {
                Some(problem) => format!("{name}-{}", problem.key()),
                None => name.to_owned(),
            },
            _ => name.to_owned(),
        }
    }
}

/// A result with this crate's [`enum@Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
