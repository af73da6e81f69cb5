//! Names in the order people count: `web2` before `web10`.

use std::cmp::Ordering;

/// Compares by letters, and by value where both have digits.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    while let (Some(x), Some(y)) = (a.first(), b.first()) {
        let order = if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number, other);
            (number, a) = digits(a);
            (other, b) = digits(b);
            let value = |digits: &[u8]| {
                let zeros = digits.iter().take_while(|digit| **digit == b'0').count();
                digits[zeros..].to_vec()
            };
            let (number, other) = (value(number), value(other));
            number.len().cmp(&other.len()).then(number.cmp(&other))
        } else {
            (a, b) = (&a[1..], &b[1..]);
            x.cmp(y)
        };
        if order != Ordering::Equal {
            return order;
        }
    }
    a.len().cmp(&b.len())
}

fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let length = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.split_at(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_compared_by_value_and_the_rest_by_letters() {
        let mut names = ["web10", "web2", "web", "a10b2", "a10b10", "a9", "007", "7a", "B"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(names, ["007", "7a", "B", "a9", "a10b2", "a10b10", "web", "web2", "web10"]);
    }
}
