//! Damages files: flips bits, cuts ends, repeats parts or takes them from another file, changes numbers.

use proptest::{
    collection::vec,
    prelude::*,
    sample::{Index, select},
};

/// Replacements for a word or a number in digits.
const WORDS: [&str; 16] = [
    "0",
    "-1",
    "0.5",
    "1e-320",
    "1e999",
    "-1e308",
    "NaN",
    "2147483648",
    "4294967295",
    "9223372036854775807",
    "18446744073709551615",
    "1e15",
    "null",
    "\"\"",
    "[]",
    "../../C\u{fc}\0",
];
/// Replacements for a binary number.
const NUMBERS: [u64; 10] =
    [0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0xFFFF_FFFF, 100_000, u64::MAX >> 1, u64::MAX];

/// A position in a file. Half of the positions are in its head, which contains most of the sizes and types.
#[derive(Clone, Debug)]
enum Place {
    Head(usize),
    Anywhere(Index),
}

impl Place {
    /// The position in a file of `length` bytes, from 0 to `length`.
    fn within(&self, length: usize) -> usize {
        match self {
            Self::Head(at) => (*at).min(length),
            Self::Anywhere(index) => index.index(length + 1),
        }
    }
}

/// One kind of damage.
#[derive(Clone, Debug)]
enum Damage {
    /// A bit flips.
    Flip(Place, u8),
    /// A number of `1 << width` bytes is replaced.
    Number { at: Place, value: u64, width: u8, little_endian: bool },
    /// The word or number in digits at or after the position is replaced.
    Word(Place, &'static str),
    /// The end is cut off.
    Truncate(Place),
    /// A part is removed.
    Remove(Place, usize),
    /// A part is copied to another place.
    Repeat { from: Place, to: Place, length: usize },
    /// The rest is replaced by a part of another file.
    Splice { at: Place, other: Index, from: Place },
}

impl Damage {
    fn apply(&self, file: &mut Vec<u8>, samples: &[Vec<u8>]) {
        match self {
            Self::Flip(at, bit) => {
                let at = at.within(file.len());
                file.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << bit);
            }
            Self::Number { at, value, width, little_endian } => {
                let (at, width) = (at.within(file.len()), 1 << width);
                let mut bytes = value.to_le_bytes()[..width].to_vec();
                if !little_endian {
                    bytes.reverse();
                }
                file.iter_mut().skip(at).zip(bytes).for_each(|(old, new)| *old = new);
            }
            Self::Word(at, word) => {
                let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || b".-+".contains(byte);
                let at = at.within(file.len());
                let start = file[at..].iter().position(belongs).map_or(file.len(), |offset| at + offset);
                let length = file[start..].iter().take_while(|byte| belongs(byte)).count();
                file.splice(start..start + length, word.bytes());
            }
            Self::Truncate(at) => file.truncate(at.within(file.len())),
            Self::Remove(at, length) => {
                let at = at.within(file.len());
                file.drain(at..file.len().min(at + length));
            }
            Self::Repeat { from, to, length } => {
                let from = from.within(file.len());
                let part = file[from..file.len().min(from + length)].to_vec();
                let to = to.within(file.len());
                file.splice(to..to, part);
            }
            Self::Splice { at, other, from } => {
                file.truncate(at.within(file.len()));
                let other = other.get(samples);
                file.extend(&other[from.within(other.len())..]);
            }
        }
    }
}

/// Valid `samples` (at least one) with one to six damages; in one of 16 cases, random bytes after the beginning of a
/// sample.
pub(crate) fn damaged(samples: &[Vec<u8>]) -> impl Strategy<Value = Vec<u8>> + use<> {
    let samples = samples.to_vec();
    let whole = select(samples.clone());
    let broken = (whole.clone(), vec(damage(), 1..=6)).prop_map(move |(mut file, damages)| {
        damages.iter().for_each(|damage| damage.apply(&mut file, &samples));
        file
    });
    let random = (whole, 0..64_usize, vec(any::<u8>(), 0..512)).prop_map(|(mut file, kept, random)| {
        file.truncate(kept);
        file.extend(random);
        file
    });
    prop_oneof![15 => broken, 1 => random]
}

fn damage() -> impl Strategy<Value = Damage> {
    let place =
        || prop_oneof![(0..128_usize).prop_map(Place::Head), any::<Index>().prop_map(Place::Anywhere)];
    let length = || prop_oneof![1..16_usize, 1..600_usize];
    prop_oneof![
        5 => (place(), 0..8_u8).prop_map(|(at, bit)| Damage::Flip(at, bit)),
        5 => (place(), select(&NUMBERS), 0..4_u8, any::<bool>())
            .prop_map(|(at, value, width, little_endian)| Damage::Number { at, value, width, little_endian }),
        5 => (place(), select(&WORDS)).prop_map(|(at, word)| Damage::Word(at, word)),
        1 => place().prop_map(Damage::Truncate),
        2 => (place(), length()).prop_map(|(at, length)| Damage::Remove(at, length)),
        2 => (place(), place(), length()).prop_map(|(from, to, length)| Damage::Repeat { from, to, length }),
        1 => (place(), any::<Index>(), place())
            .prop_map(|(at, other, from)| Damage::Splice { at, other, from }),
    ]
}
