//! What a file name of the NIH's set says: the patient, and the cell.

use std::path::Path;

/// The patient in a file name of the NIH's set: the leading `C<number>`. Case and leading zeros do not matter: `c047` is C47.
///
/// `C33P1thinF_IMG_…`, `C6NThinF_…` and `C1_thinF_…` belong to C33, C6 and C1. The rest of the name (the slide `P<number>`, or
/// the stain) is ignored: healthy patients have no `P`, and a patient may have several. A letter or `_` must follow the number: otherwise every
/// one of numbered pictures (`C0001.png`) would be a patient.
pub fn patient_of(file_name: &str) -> Option<String> {
    let rest = file_name.strip_prefix(['C', 'c'])?;
    let (digits, after) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?);
    // Patient 0 keeps a zero.
    let number = digits.trim_start_matches('0');
    (!digits.is_empty() && after.starts_with(|c: char| c.is_alphabetic() || c == '_'))
        .then(|| format!("C{}", if number.is_empty() { "0" } else { number }))
}

/// The file name without its extension, if it has the form of the NIH's set: patient, slide, time and number of the
/// cell, which is unique within a class. Synthetic cells are recognised by `_drawn` and excluded.
#[must_use]
pub fn nih_name(path: &str) -> Option<&str> {
    let name = Path::new(path).file_stem()?.to_str()?;
    let nih = patient_of(name).is_some() && name.contains("_IMG_") && name.contains("_cell_");
    (nih && !name.contains("_drawn")).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_patient_is_the_leading_c_and_number_of_a_name() {
        for (name, patient) in [
            ("C33P1thinF_IMG_20150619_114756a_cell_179.png", Some("C33")),
            ("C1_thinF_IMG_20150604_104722_cell_9.png", Some("C1")),
            ("C6NThinF_IMG_20150609_122108_cell_1.png", Some("C6")),
            ("C39P4thinF_original_IMG_20150622_105335_cell_12.png", Some("C39")),
            ("C68P29N_ThinF_IMG_20150819_134112_cell_159.png", Some("C68")),
            ("C37BP2_thinF_IMG_20150620_133111a_cell_87.png", Some("C37")),
            ("C51AP12thinF_IMG_20150724_153723_cell_42.png", Some("C51")),
            ("C7", None),
            ("C047P8thinF_IMG_1_cell_1.png", Some("C47")),
            ("c47_1.png", Some("C47")),
            ("c0047.png", None),
            ("C0001.v2.png", None),
            ("C0001 - Copy.png", None),
            ("C0001 (1).png", None),
            ("C470_1.png", Some("C470")),
            ("C000_1.png", Some("C0")),
            ("P12thinF_C33_cell_1.png", None),
            ("Cell_12.png", None),
            ("c.png", None),
            ("c\u{664}7.png", None),
            ("33.png", None),
            ("", None),
        ] {
            assert_eq!(patient_of(name).as_deref(), patient, "{name}");
        }
    }
}
