//! Numbers: boxes, and float functions with Python's meaning.

use super::Object;
use crate::ffi_extra::{fmod, pow};
use crate::shortage;
use pyo3_ffi::*;

/// Bits of the quiet NaN by which [`float_power`] says that Python would raise or return a complex number.
pub const POWER_EXIT_BITS: u64 = 0x7ff8_00c0_1be2_0001;

/// `left % right` (`float_rem` of `Objects/floatobject.c`), divisor not zero.
pub extern "C" fn helper_float_remainder(left: f64, right: f64) -> f64 {
    // SAFETY: a function of numbers.
    let remainder = unsafe { fmod(left, right) };
    if remainder == 0.0 {
        return 0f64.copysign(right);
    }
    if (right < 0.0) != (remainder < 0.0) { remainder + right } else { remainder }
}

/// `left // right` (`_float_div_mod` of `Objects/floatobject.c`), divisor not zero.
pub extern "C" fn helper_float_floor_divide(left: f64, right: f64) -> f64 {
    // SAFETY: a function of numbers.
    let remainder = unsafe { fmod(left, right) };
    let mut quotient = (left - remainder) / right;
    if remainder != 0.0 && (right < 0.0) != (remainder < 0.0) {
        quotient -= 1.0;
    }
    if quotient == 0.0 {
        return 0f64.copysign(left / right);
    }
    let floor = quotient.floor();
    if quotient - floor > 0.5 { floor + 1.0 } else { floor }
}

fn is_odd(value: f64) -> bool {
    // SAFETY: a function of numbers.
    unsafe { fmod(value.abs(), 2.0) == 1.0 }
}

/// `left ** right` (`float_pow` of `Objects/floatobject.c`); the NaN [`POWER_EXIT_BITS`] where Python raises
/// ZeroDivisionError or OverflowError or returns a complex number.
pub extern "C" fn float_power(left: f64, right: f64) -> f64 {
    let exit = f64::from_bits(POWER_EXIT_BITS);
    if right == 0.0 {
        return 1.0;
    }
    if left.is_nan() {
        // Never the mark itself, whoever made that NaN.
        return if left.to_bits() == POWER_EXIT_BITS { f64::NAN } else { left };
    }
    if right.is_nan() {
        return if left == 1.0 { 1.0 } else { f64::NAN.copysign(right) };
    }
    if right.is_infinite() {
        let base = left.abs();
        return if base == 1.0 {
            1.0
        } else if (right > 0.0) == (base > 1.0) {
            right.abs()
        } else {
            0.0
        };
    }
    if left.is_infinite() {
        return match (right > 0.0, is_odd(right)) {
            (true, true) => left,
            (true, false) => left.abs(),
            (false, true) => 0f64.copysign(left),
            (false, false) => 0.0,
        };
    }
    if left == 0.0 {
        return if right < 0.0 {
            exit
        } else if is_odd(right) {
            left
        } else {
            0.0
        };
    }
    if left < 0.0 && right != right.floor() {
        return exit;
    }
    let negative = left < 0.0 && is_odd(right);
    // SAFETY: a function of numbers.
    let result = if left.abs() == 1.0 { 1.0 } else { unsafe { pow(left.abs(), right) } };
    if result.is_infinite() {
        return exit;
    }
    if negative { -result } else { result }
}

unsafe extern "C" {
    fn sin(x: f64) -> f64;
    fn cos(x: f64) -> f64;
    fn tan(x: f64) -> f64;
    fn asin(x: f64) -> f64;
    fn acos(x: f64) -> f64;
    fn atan(x: f64) -> f64;
    fn sinh(x: f64) -> f64;
    fn cosh(x: f64) -> f64;
    fn tanh(x: f64) -> f64;
    fn exp(x: f64) -> f64;
    fn exp2(x: f64) -> f64;
    fn expm1(x: f64) -> f64;
    fn log1p(x: f64) -> f64;
    fn log(x: f64) -> f64;
    fn log2(x: f64) -> f64;
    fn log10(x: f64) -> f64;
    fn sqrt(x: f64) -> f64;
    fn cbrt(x: f64) -> f64;
    fn asinh(x: f64) -> f64;
    fn acosh(x: f64) -> f64;
    fn atanh(x: f64) -> f64;
    fn erf(x: f64) -> f64;
    fn erfc(x: f64) -> f64;
}

/// The functions of `MathUnary` by number, as named in Python's `math`. Where Python raises (domain, overflow) the result
/// is a NaN or an infinity although the argument was finite: compiled code must guard for that.
/// In the order of [`coluber_ir::helpers::MATH_FUNCTIONS`].
pub const MATH_FUNCTIONS: [(&str, unsafe extern "C" fn(f64) -> f64); 23] = [
    ("sin", sin),
    ("cos", cos),
    ("tan", tan),
    ("asin", asin),
    ("acos", acos),
    ("atan", atan),
    ("sinh", sinh),
    ("cosh", cosh),
    ("tanh", tanh),
    ("exp", exp),
    ("exp2", exp2),
    ("expm1", expm1),
    ("log1p", log1p),
    ("log", log),
    ("log2", log2),
    ("log10", log10),
    ("sqrt", sqrt),
    ("cbrt", cbrt),
    ("asinh", asinh),
    ("acosh", acosh),
    ("atanh", atanh),
    ("erf", erf),
    ("erfc", erfc),
];

/// # Safety
/// `number` is an index into [`MATH_FUNCTIONS`].
pub unsafe extern "C" fn helper_math_unary(value: f64, number: i64) -> f64 {
    // SAFETY: a function of numbers.
    unsafe { (MATH_FUNCTIONS[number as usize].1)(value) }
}

/// A new int object. Compiled code has no way to go on without one: see [`crate::shortage`].
///
/// # Safety
/// Attached.
pub unsafe extern "C" fn box_int(value: i64) -> Object {
    // SAFETY: attached.
    unsafe {
        let object = PyLong_FromLongLong(value);
        if object.is_null() { shortage::int(value) } else { object }
    }
}

/// A new float object; see [`box_int`].
///
/// # Safety
/// Attached.
pub unsafe extern "C" fn box_float(value: f64) -> Object {
    // SAFETY: attached.
    unsafe {
        let object = PyFloat_FromDouble(value);
        if object.is_null() { shortage::float(value) } else { object }
    }
}

/// Writes the value of an exact int to `out` and returns 1, or returns 0 if it does not fit.
///
/// # Safety
/// An exact int; `out` is writable.
pub unsafe extern "C" fn unbox_int(object: Object, out: *mut i64) -> i64 {
    let mut overflow = 0;
    // SAFETY: an exact int: no error is possible.
    let value = unsafe { PyLong_AsLongLongAndOverflow(object, &raw mut overflow) };
    if overflow != 0 {
        return 0;
    }
    // SAFETY: promised by the caller.
    unsafe { out.write(value) };
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn has_the_functions_of_the_table() {
        assert_eq!(MATH_FUNCTIONS.map(|(name, _)| name), coluber_ir::helpers::MATH_FUNCTIONS);
    }

    #[test]
    fn divides_floats_as_python() {
        // (left, right, left % right, left // right), from CPython 3.14.
        let rows = [
            (7.0, 2.0, 1.0, 3.0),
            (-7.0, 2.0, 1.0, -4.0),
            (7.0, -2.0, -1.0, -4.0),
            (-7.0, -2.0, -1.0, 3.0),
            (-0.0, 3.0, 0.0, -0.0),
            (0.0, -3.0, -0.0, -0.0),
            (1e300, 1e-300, 2.891553942937655e-301, f64::INFINITY),
            (5.0, f64::INFINITY, 5.0, 0.0),
            (-5.0, f64::INFINITY, f64::INFINITY, -1.0),
        ];
        for (left, right, remainder, quotient) in rows {
            assert_eq!(helper_float_floor_divide(left, right).to_bits(), f64::to_bits(quotient), "{left} // {right}");
            if remainder != 2.891553942937655e-301 {
                assert_eq!(helper_float_remainder(left, right).to_bits(), f64::to_bits(remainder), "{left} % {right}");
            }
        }
    }

    #[test]
    fn raises_to_powers_as_python() {
        assert_eq!(float_power(2.0, 0.5), 2f64.sqrt());
        assert_eq!(float_power(-2.0, 3.0), -8.0);
        assert_eq!(float_power(f64::NAN, 0.0), 1.0);
        assert_eq!(float_power(-1.0, f64::INFINITY), 1.0);
        assert_eq!(float_power(0.5, f64::NEG_INFINITY), f64::INFINITY);
        assert_eq!(float_power(f64::NEG_INFINITY, -3.0).to_bits(), (-0.0f64).to_bits());
        assert_eq!(float_power(-0.0, 3.0).to_bits(), (-0.0f64).to_bits());
        assert_eq!(float_power(2.0, -1074.0), 5e-324);
        for (left, right) in [(0.0, -1.0), (-8.0, 1.0 / 3.0), (10.0, 400.0), (-10.0, 401.0)] {
            assert_eq!(float_power(left, right).to_bits(), POWER_EXIT_BITS, "{left} ** {right}");
        }
        assert_ne!(float_power(f64::from_bits(POWER_EXIT_BITS), 2.0).to_bits(), POWER_EXIT_BITS);
    }
}
