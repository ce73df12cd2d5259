//! Checks of the bytes of an image, before a decoder reads them: formats that are not supported, truncated files,
//! several pictures, and sizes with which a decoder would panic or exceed its memory limit.

use crate::error::ImageProblem;

/// Largest side of a decoded photograph, in pixels.
pub(crate) const MAX_PHOTO_SIDE: u32 = 16_384;
/// Largest number of TIFF directories that are read.
const MAX_TIFF_DIRECTORIES: usize = 1000;

/// What is wrong with an image: its kind, and the [reason](crate::error::BadImage::reason).
pub(crate) type Fault = (ImageProblem, String);

pub(crate) fn damaged(reason: String) -> Fault {
    (ImageProblem::Damaged, reason)
}

pub(crate) fn too_large(longest_side: u32) -> Fault {
    let photographs = match longest_side {
        MAX_PHOTO_SIDE => "",
        _ => "; count the cells of photographs with `malaria smear` or `malaria-edge smear`",
    };
    let reason =
        format!("is larger than {longest_side} px on a side, the largest size that is decoded{photographs}");
    (ImageProblem::TooLarge, reason)
}

/// Names common formats that are not supported, with advice.
pub(crate) fn other_format(contents: &[u8]) -> Option<(ImageProblem, &'static str)> {
    let starts = |at: usize, bytes: &[u8]| contents.get(at..).is_some_and(|rest| rest.starts_with(bytes));
    let brand = |brands: &[&[u8]]| starts(4, b"ftyp") && brands.iter().any(|brand| starts(8, brand));
    if brand(&[b"heic", b"heix", b"hevc", b"mif1", b"msf1"]) {
        return Some((ImageProblem::Heic, "is a HEIC photograph, as phones take them: save it as JPEG"));
    }
    let known: [(&[u8], &str); 8] = [
        (b"II+\0", "is a BigTIFF: save it as a plain TIFF or PNG"),
        (b"MM\0+", "is a BigTIFF: save it as a plain TIFF or PNG"),
        (b"\0\0\0\x0cjP  ", "is a JPEG 2000 picture: save it as PNG"),
        (b"PK\x03\x04", "is a zip archive, or a document that is one: unpack it"),
        (b"%PDF", "is a PDF: save its pictures as PNG"),
        (b"version https://git-lfs", "is a pointer of Git LFS: fetch the picture with `git lfs pull`"),
        (b"<!DOCTYPE", "is a web page, perhaps the error of a download: fetch it again"),
        (b"<html", "is a web page, perhaps the error of a download: fetch it again"),
    ];
    known.iter().find(|(start, _)| starts(0, start)).map(|(_, words)| (ImageProblem::OtherFormat, *words))
}

/// Whether a JPEG reaches its end-of-image marker. A file cut off in the last row of blocks passes even the strict
/// decoder, and a plain search for the marker's bytes would stop at the end of an embedded thumbnail.
pub(crate) fn jpeg_ends(contents: &[u8]) -> bool {
    let mut at = 2;
    loop {
        // In entropy-coded data, 0xFF precedes 0x00, a restart, or the next segment; elsewhere it begins a segment.
        match (contents.get(at), contents.get(at + 1)) {
            (Some(0xFF), Some(0xD9)) => return true,
            (Some(0xFF), Some(0x00 | 0x01 | 0xD0..=0xD8)) => at += 2,
            (Some(0xFF), Some(0xFF)) => at += 1,
            (Some(0xFF), Some(_)) => match (contents.get(at + 2), contents.get(at + 3)) {
                (Some(&high), Some(&low)) => at += 2 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
            (Some(_), Some(_)) => at += 1,
            _ => return false,
        }
    }
}

/// Refuses a WebP on which the decoder would panic, invent pixels or exceed its memory limit.
pub(crate) fn check_webp(contents: &[u8], longest_side: u32) -> Result<(), Fault> {
    let number = |at, width| number(contents, at, width, true);
    // The decoder invents the missing part of a lossy picture without an error.
    if number(4, 4).is_none_or(|size| (contents.len() as u64) < size + 8) {
        return Err(damaged("cannot be decoded as WebP: it is shorter than its header says".to_owned()));
    }
    if contents.get(12..16) != Some(b"VP8X") {
        return Ok(());
    }
    // The decoder panics if the size of a frame differs from the announced one.
    if contents.get(20).is_some_and(|flags| flags & 2 != 0) {
        let reason = "is an animated WebP; expected a single picture".to_owned();
        return Err((ImageProblem::SeveralPictures, reason));
    }
    // The decoder allocates a lossy picture before it compares its size with the canvas.
    let mut chunk = 12;
    while let Some(length) = number(chunk + 4, 4) {
        if contents[chunk as usize..].starts_with(b"VP8 ") {
            let side = |at| number(chunk + at, 2).map_or(0, |side| side & 0x3FFF);
            if side(14).max(side(16)) > u64::from(longest_side) {
                return Err(too_large(longest_side));
            }
        }
        chunk += 8 + length.next_multiple_of(2);
    }
    Ok(())
}

/// Refuses a TIFF with several pages, such as the channels of an ImageJ composite or an OME stack, since the decoder would
/// return the first page only. Smaller copies of the picture do not count as pages.
///
/// Also refuses a directory with a value that has more parts than the file has bytes. The decoder allocates all parts before
/// reading them and before a limit can be set: 256 MiB for a file of a hundred bytes.
pub(crate) fn check_tiff(contents: &[u8]) -> Result<(), Fault> {
    const SUBFILE_TYPE: u64 = 254;
    const SMALLER_COPY: u64 = 1;
    let number = |at, width| number(contents, at, width, contents.starts_with(b"II"));
    let truncated = || damaged("cannot be decoded as Tiff: it is shorter than its directory says".to_owned());
    let mut directory = number(4, 4).ok_or_else(truncated)?;
    let mut pages = 0;
    // Directories of a damaged file may form a cycle.
    for _ in 0..MAX_TIFF_DIRECTORIES {
        let mut is_copy = false;
        let entries = number(directory, 2).ok_or_else(truncated)?;
        for entry in 0..entries {
            // An entry: tag and type of two bytes each, number of parts and their position, or the value, of four bytes each.
            let at = directory + 2 + 12 * entry;
            if number(at + 4, 4).ok_or_else(truncated)? > contents.len() as u64 {
                return Err(truncated());
            }
            is_copy |= number(at, 2) == Some(SUBFILE_TYPE)
                && number(at + 8, 4).is_some_and(|kind| kind & SMALLER_COPY != 0);
        }
        pages += usize::from(!is_copy);
        directory = number(directory + 2 + 12 * entries, 4).unwrap_or(0);
        if directory == 0 {
            break;
        }
    }
    if pages == 0 || contents.get(8..10) == Some(b"CR") {
        let reason = "is a camera's raw file, which is not read; its preview is not the photograph: develop it and save it as PNG or JPEG";
        return Err((ImageProblem::OtherFormat, reason.to_owned()));
    }
    if pages > 1 {
        let reason = format!(
            "has {pages} pages or channels, like an ImageJ stack or composite, or a scanned slide; \
             expected one: save it as a single RGB image"
        );
        return Err((ImageProblem::SeveralPictures, reason));
    }
    Ok(())
}

/// The number in the `width` bytes at `at`, if the file is long enough.
fn number(contents: &[u8], at: u64, width: u64, little_endian: bool) -> Option<u64> {
    let start = usize::try_from(at).ok()?;
    let bytes = contents.get(start..start.checked_add(width as usize)?)?.iter();
    let append = |number: u64, byte: &u8| number << 8 | u64::from(*byte);
    Some(if little_endian { bytes.rev().fold(0, append) } else { bytes.fold(0, append) })
}
