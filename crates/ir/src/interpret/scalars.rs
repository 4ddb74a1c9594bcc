//! Arithmetic on unboxed values, exactly as Python does it on ints and floats.
//!
//! `None` means that the op exits: the result is no 64-bit integer, or Python raises, or (for `**`) gives a complex.

use coluber_bytecode::Comparison;
use std::cmp::Ordering;

/// `left // right`.
pub fn int_floor_divide(left: i64, right: i64) -> Option<i64> {
    // `None` on zero and for the one quotient that overflows.
    let quotient = left.checked_div(right)?;
    let is_inexact = left % right != 0;
    Some(if is_inexact && (left < 0) != (right < 0) { quotient - 1 } else { quotient })
}

/// `left % right`: the sign is the divisor's.
pub fn int_remainder(left: i64, right: i64) -> Option<i64> {
    if right == 0 {
        return None;
    }
    let remainder = left.wrapping_rem(right);
    Some(if remainder != 0 && (remainder < 0) != (right < 0) { remainder + right } else { remainder })
}

/// `left / right` where both are floats without rounding: then the quotient is rounded once, as Python's is.
pub fn int_true_divide(left: i64, right: i64) -> Option<f64> {
    const LIMIT: u64 = 1 << 53;
    let fits = left.unsigned_abs() <= LIMIT && right.unsigned_abs() <= LIMIT;
    (fits && right != 0).then(|| left as f64 / right as f64)
}

/// `left << right`, for counts below 63.
pub fn int_shift_left(left: i64, right: i64) -> Option<i64> {
    let count = u32::try_from(right).ok().filter(|count| *count < 63)?;
    let shifted = left << count;
    (shifted >> count == left).then_some(shifted)
}

/// `left >> right`, for counts below 64.
pub fn int_shift_right(left: i64, right: i64) -> Option<i64> {
    let count = u32::try_from(right).ok().filter(|count| *count < 64)?;
    Some(left >> count)
}

/// Comparison of ints.
pub fn int_compare(comparison: Comparison, left: i64, right: i64) -> bool {
    compare(comparison, Some(left.cmp(&right)))
}

/// Comparison of floats: with a NaN, only `!=` is true.
pub fn float_compare(comparison: Comparison, left: f64, right: f64) -> bool {
    compare(comparison, left.partial_cmp(&right))
}

fn compare(comparison: Comparison, ordering: Option<Ordering>) -> bool {
    match comparison {
        Comparison::Less => ordering.is_some_and(Ordering::is_lt),
        Comparison::LessEqual => ordering.is_some_and(Ordering::is_le),
        Comparison::Equal => ordering.is_some_and(Ordering::is_eq),
        Comparison::NotEqual => !ordering.is_some_and(Ordering::is_eq),
        Comparison::Greater => ordering.is_some_and(Ordering::is_gt),
        Comparison::GreaterEqual => ordering.is_some_and(Ordering::is_ge),
    }
}

/// `left / right`.
pub fn float_divide(left: f64, right: f64) -> Option<f64> {
    (right != 0.0).then(|| left / right)
}

/// `left % right`, divisor not zero: `float_rem` in Objects/floatobject.c, 3.14.
pub fn float_remainder(left: f64, right: f64) -> f64 {
    let remainder = left % right;
    if remainder == 0.0 {
        // The sign of zero is the divisor's.
        0.0f64.copysign(right)
    } else if (right < 0.0) != (remainder < 0.0) {
        remainder + right
    } else {
        remainder
    }
}

/// `left // right`, divisor not zero: `_float_div_mod` in Objects/floatobject.c, 3.14.
pub fn float_floor_divide(left: f64, right: f64) -> f64 {
    let mut remainder = left % right;
    // Exactly divisible now, up to rounding.
    let mut quotient = (left - remainder) / right;
    if remainder != 0.0 && (right < 0.0) != (remainder < 0.0) {
        remainder += right;
        quotient -= 1.0;
    }
    let _ = remainder;
    if quotient == 0.0 {
        return 0.0f64.copysign(left / right);
    }
    let floor = quotient.floor();
    if quotient - floor > 0.5 { floor + 1.0 } else { floor }
}

/// The square root of what is not negative.
pub fn float_sqrt(value: f64) -> Option<f64> {
    // A NaN is not negative, nor is -0.0.
    (value >= 0.0 || value.is_nan()).then(|| value.sqrt())
}

/// `left ** right`: `float_pow` in Objects/floatobject.c, 3.14.
pub fn float_power(left: f64, right: f64) -> Option<f64> {
    let both_finite = left.is_finite() && right.is_finite();
    if both_finite && left == 0.0 && right < 0.0 {
        return None;
    }
    if both_finite && left < 0.0 && right.floor() != right {
        return None;
    }
    let power = left.powf(right);
    // Overflow raises; an infinity that comes from an infinity does not.
    (!both_finite || power.is_finite()).then_some(power)
}

/// `int(value)` if it is within 62 bits and a sign.
pub fn float_to_int(value: f64) -> Option<i64> {
    const LIMIT: f64 = (1i64 << 62) as f64;
    // False for a NaN.
    (value > -LIMIT && value < LIMIT).then_some(value as i64)
}

/// The position that an index means in a sequence; `None` if it is out of range.
pub fn index(index: i64, length: i64) -> Option<i64> {
    let index = if index < 0 { index.wrapping_add(length) } else { index };
    (0..length).contains(&index).then_some(index)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Integers around all powers of two, and small ones.
    fn integers() -> Vec<i64> {
        let mut integers: Vec<i64> = (-12..=12).collect();
        for shift in 4..64 {
            let power = 1i128 << shift;
            for value in [power - 1, power, power + 1, -power - 1, -power, -power + 1] {
                integers.extend(i64::try_from(value));
            }
        }
        integers
    }

    fn fits(value: i128) -> Option<i64> {
        i64::try_from(value).ok()
    }

    /// Floor division by its definition.
    fn floor(left: i128, right: i128) -> i128 {
        let quotient = left / right;
        if quotient * right != left && (left < 0) != (right < 0) { quotient - 1 } else { quotient }
    }

    #[test]
    fn divides_as_python() {
        for &left in &integers() {
            for &right in &integers() {
                let [wide_left, wide_right] = [left, right].map(i128::from);
                if right == 0 {
                    assert_eq!(int_floor_divide(left, right), None);
                    assert_eq!(int_remainder(left, right), None);
                    continue;
                }
                let quotient = floor(wide_left, wide_right);
                assert_eq!(int_floor_divide(left, right), fits(quotient), "{left} // {right}");
                let remainder = wide_left - quotient * wide_right;
                assert_eq!(int_remainder(left, right), fits(remainder), "{left} % {right}");
            }
        }
    }

    #[test]
    fn shifts_as_python() {
        for &left in &integers() {
            for count in 0..64 {
                let shifted = fits(i128::from(left) << count).filter(|_| count < 63);
                assert_eq!(int_shift_left(left, count), shifted, "{left} << {count}");
                assert_eq!(int_shift_right(left, count), fits(i128::from(left) >> count), "{left} >> {count}");
            }
            for count in [-1, 64, i64::MAX, i64::MIN] {
                assert_eq!(int_shift_left(left, count), None);
                assert_eq!(int_shift_right(left, count), None);
            }
        }
    }

    #[test]
    fn compares_nans_as_python() {
        use Comparison::*;
        for comparison in [Less, LessEqual, Equal, Greater, GreaterEqual] {
            assert!(!float_compare(comparison, f64::NAN, 1.0));
            assert!(!float_compare(comparison, f64::NAN, f64::NAN));
        }
        assert!(float_compare(NotEqual, f64::NAN, f64::NAN));
        assert!(float_compare(Equal, 0.0, -0.0));
        assert!(int_compare(LessEqual, 3, 3) && !int_compare(Less, 3, 3));
    }

    /// Results of CPython 3.14: `repr(left // right)`, `repr(left % right)`.
    #[test]
    fn divides_floats_as_python() {
        let cases = [
            (7.0, 2.0, "3.0", "1.0"),
            (-7.0, 2.0, "-4.0", "1.0"),
            (7.0, -2.0, "-4.0", "-1.0"),
            (-7.0, -2.0, "3.0", "-1.0"),
            (-0.0, 2.0, "-0.0", "0.0"),
            (0.0, -2.0, "-0.0", "-0.0"),
            (6.0, -3.0, "-2.0", "-0.0"),
            (1e300, 1e-10, "inf", "5.476641984772742e-11"),
            (1.0, 0.1, "9.0", "0.09999999999999995"),
            (5.0, f64::INFINITY, "0.0", "5.0"),
            (-5.0, f64::INFINITY, "-1.0", "inf"),
            (f64::INFINITY, 2.0, "NaN", "NaN"),
        ];
        for (left, right, quotient, remainder) in cases {
            assert_eq!(format!("{:?}", float_floor_divide(left, right)), quotient, "{left} // {right}");
            assert_eq!(format!("{:?}", float_remainder(left, right)), remainder, "{left} % {right}");
        }
        assert_eq!(float_divide(1.0, -0.0), None);
        assert_eq!(int_true_divide(1, 3), Some(1.0 / 3.0));
        assert_eq!(int_true_divide((1 << 53) + 1, 3), None);
    }

    #[test]
    fn raises_to_powers_as_python() {
        assert_eq!(float_power(0.0, -1.0), None);
        assert_eq!(float_power(-0.0, -2.5), None);
        assert_eq!(float_power(0.0, f64::NEG_INFINITY), Some(f64::INFINITY));
        assert_eq!(float_power(-8.0, 0.5), None);
        assert_eq!(float_power(-8.0, 3.0), Some(-512.0));
        assert_eq!(float_power(f64::NEG_INFINITY, 0.5), Some(f64::INFINITY));
        assert_eq!(float_power(10.0, 400.0), None);
        assert_eq!(float_power(10.0, -400.0), Some(0.0));
        assert_eq!(float_power(f64::NAN, 0.0), Some(1.0));
        assert_eq!(float_power(1.0, f64::NAN), Some(1.0));
    }

    #[test]
    fn takes_roots_and_integers_as_python() {
        assert_eq!(float_sqrt(-1.0), None);
        assert!(float_sqrt(-0.0).is_some_and(|root| root == 0.0 && root.is_sign_negative()));
        assert!(float_sqrt(f64::NAN).is_some_and(f64::is_nan));
        assert_eq!(float_to_int(-2.9), Some(-2));
        assert_eq!(float_to_int(f64::NAN), None);
        assert_eq!(float_to_int(1e19), None);
        assert_eq!(float_to_int(f64::INFINITY), None);
    }

    #[test]
    fn counts_indices_from_the_end() {
        assert_eq!([index(0, 3), index(2, 3), index(-1, 3), index(-3, 3)], [Some(0), Some(2), Some(2), Some(0)]);
        assert_eq!([index(3, 3), index(-4, 3), index(0, 0), index(i64::MIN, 3)], [None; 4]);
    }
}
