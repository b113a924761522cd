//! Properties of all answers, tested against values in floating point.

use proptest::prelude::*;
use stir_grade::{
    Verdict::{Different, Equal},
    equality::equal,
};

/// The values of x at which formulas are evaluated in floating point.
const POINTS: [f64; 3] = [3.0 / 7.0, 1.7, -0.9];

type Formula = (String, [f64; 3]);

fn at(text: &str, value: impl Fn(f64) -> f64) -> Formula {
    (text.to_owned(), POINTS.map(value))
}

/// Formulas with their values, NaN where they have none: an independent account of what they mean.
fn formulas() -> impl Strategy<Value = Formula> {
    let leaf = prop_oneof![
        (-9i32..10).prop_map(|n| at(&if n < 0 { format!("({n})") } else { n.to_string() }, |_| f64::from(n))),
        Just(at("x", |x| x)),
        Just(at("\\sqrt{2}", |_| 2f64.sqrt())),
        Just(at("\\pi", |_| std::f64::consts::PI)),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        let pair = (inner.clone(), inner.clone());
        let two = |text: fn(&str, &str) -> String, value: fn(f64, f64) -> f64| {
            pair.clone().prop_map(move |((a, x), (b, y))| (text(&a, &b), std::array::from_fn(|i| value(x[i], y[i]))))
        };
        let one = |text: fn(&str) -> String, value: fn(f64) -> f64| {
            inner.clone().prop_map(move |(a, x)| (text(&a), x.map(value)))
        };
        prop_oneof![
            two(|a, b| format!("({a}+{b})"), |x, y| x + y),
            two(|a, b| format!("({a}-{b})"), |x, y| x - y),
            two(|a, b| format!("{a} \\cdot {b}"), |x, y| x * y),
            two(|a, b| format!("\\frac{{{a}}}{{{b}}}"), |x, y| if y.abs() < 1e-9 { f64::NAN } else { x / y }),
            one(|a| format!("({a})^{{2}}"), |x| x * x),
            one(|a| format!("\\frac{{{a}}}{{3}}"), |x| x / 3.0),
            one(|a| format!("\\sqrt{{{a}}}"), |x| if x.abs() < 1e-9 { f64::NAN } else { x.sqrt() }),
            one(|a| format!("\\sqrt[3]{{{a}}}"), |x| if x.abs() < 1e-9 { f64::NAN } else { x.cbrt() }),
            one(|a| format!("|{a}|"), f64::abs),
            one(|a| format!("\\sin({a})"), f64::sin),
            one(|a| format!("\\cos({a})"), f64::cos),
            one(|a| format!("\\ln({a})"), |x| if x > 1e-9 { x.ln() } else { f64::NAN }),
            one(|a| format!("e^{{{a}}}"), f64::exp),
        ]
    })
}

/// Returns whether two formulas agree where both have a value, and where that is.
fn agree(x: &[f64; 3], y: &[f64; 3]) -> Option<bool> {
    let both = x.iter().zip(y).filter(|(x, y)| x.is_finite() && y.is_finite() && x.abs() < 1e6 && y.abs() < 1e6);
    let mut some = None;
    for (x, y) in both {
        some = Some(some.unwrap_or(true) && (x - y).abs() <= 1e-6 * (1.0 + x.abs().max(y.abs())));
    }
    some
}

proptest! {
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases * 4, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_equals_itself_or_is_empty(text in any::<String>()) {
        let grade = equal(&text, &text);
        prop_assert!(grade.verdict == Equal || grade.rule == "text", "{grade:?}");
    }

    #[test]
    fn what_is_called_equal_has_equal_values((a, x) in formulas(), (b, y) in formulas()) {
        if equal(&a, &b).verdict == Equal {
            prop_assert!(agree(&x, &y) != Some(false), "{a} {x:?} and {b} {y:?}");
        }
        // Forms that say the same, and some that do only where they are defined.
        let every = x.iter().all(|x| x.is_finite());
        for same in [format!("0+{a}"), format!("({a}+1)-1"), format!("\\frac{{2 \\cdot ({a})}}{{2}}"), format!("-(-({a}))")] {
            let grade = equal(&a, &same);
            prop_assert!(grade.verdict != Different, "{a} and {same}: {grade:?}");
            prop_assert!(grade.verdict == Equal || grade.rule == "limits" || !every, "{a} and {same}: {grade:?}");
        }
        let (left, right) = (format!("({a})^2-({b})^2"), format!("({a}-{b})({a}+{b})"));
        let grade = equal(&left, &right);
        prop_assert!(grade.verdict != Different, "{left} and {right}: {grade:?}");
        let off = equal(&a, &format!("{a}+\\frac{{1}}{{7}}"));
        prop_assert!(off.verdict != Equal, "{a} {off:?}");
    }

    #[test]
    fn equality_without_decimals_goes_both_ways((a, _) in formulas(), (b, _) in formulas()) {
        prop_assert_eq!(equal(&a, &b).verdict, equal(&b, &a).verdict);
    }
}
