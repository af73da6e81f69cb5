//! The fields of a plain header: names and numbers in their several notations.

use super::BLOCK;

/// What is wrong with an entry, as a noun phrase.
pub type Malformed = &'static str;

/// What comes before the first NUL.
pub fn text(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or_default()
}

/// A user or group id; the last number means "none" to the kernel.
pub fn id(number: u64) -> Option<u32> {
    u32::try_from(number).ok().filter(|id| *id != u32::MAX)
}

pub fn size_field(field_bytes: &[u8; 12]) -> Result<u64, Malformed> {
    field(field_bytes).and_then(|n| u64::try_from(n).ok()).ok_or("an impossible size")
}

/// A number in a header: octal digits, or GNU's big-endian binary marked by the top bit.
pub fn field(bytes: &[u8]) -> Option<i64> {
    match bytes {
        [first, rest @ ..] if first & 0x80 != 0 => {
            // The bit below the mark is the sign; the number must fit 64 bits.
            let sign: i128 = if first & 0x40 != 0 { -1 } else { 0 };
            let start = sign << 6 | i128::from(first & 0x3f);
            let number =
                rest.iter().try_fold(start, |n, b| n.checked_mul(256)?.checked_add(i128::from(*b)))?;
            i64::try_from(number).ok()
        }
        _ => octal(bytes).and_then(|n| i64::try_from(n).ok()),
    }
}

/// Octal digits between spaces, ended by a NUL; nothing at all is 0.
pub fn octal(bytes: &[u8]) -> Option<u64> {
    let digits = text(bytes).trim_ascii();
    digits.iter().try_fold(0u64, |n, digit| match digit {
        b'0'..=b'7' => n.checked_mul(8)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// The sum of a header's bytes, with its own field taken as spaces.
pub fn checksum(header: &[u8; BLOCK]) -> u64 {
    let sum = |bytes: &[u8]| bytes.iter().map(|b| u64::from(*b)).sum::<u64>();
    sum(&header[..148]) + 8 * u64::from(b' ') + sum(&header[156..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_octal_or_binary_and_never_wrap() {
        for (bytes, number) in [
            (b"0000644\0".as_slice(), Some(0o644)),
            (b"    17 \0", Some(0o17)),
            (b"\0\0\0\0\0\0\0\0", Some(0)),
            (b"77777777", Some(0o77777777)),
            (b"0000008\0", None),
            (b"12 34\0\0\0", None),
            (b"\x80\0\0\0\0\0\x01\0", Some(256)),
            (b"\xff\xff\xff\xff\xff\xff\xff\xfe", Some(-2)),
            (b"\x80\x01\0\0\0\0\0\0\0\0\0\0", None),
            (b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
        ] {
            assert_eq!(field(bytes), number, "{}", bytes.escape_ascii());
        }
    }
}
