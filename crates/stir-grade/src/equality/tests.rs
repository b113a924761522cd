use num_bigint::BigInt;

use super::{
    Options,
    algebra::{Algebra, Atom, Frac, Interval, Poly, Sign, sign},
    compare::Comparer,
    limits::MAX_WORK,
    read::{Bracket, Commas, Node, Number, Token, lex, parse, spelling},
    shape::reader::shape,
    why::Why,
};

fn tokens(text: &str, commas: Commas) -> Vec<Token> {
    lex(text, commas).unwrap().into_iter().map(|spaced| spaced.token).collect()
}

fn number(digits: &str, decimals: usize) -> Token {
    Token::Number(Number { digits: digits.to_owned(), decimals, repeating: 0, exponent: 0 })
}

#[test]
fn digits_with_separators_are_one_number() {
    for text in ["1234567", "1,234,567", "1 234 567", r"1{,}234{,}567", r"1,\!234,\! 567", r"1\,234\,567"] {
        assert_eq!(tokens(text, Commas::Thousands), [number("1234567", 0)], "{text}");
    }
    // Too many digits, too few, a leading zero, inside brackets, other readings.
    for text in ["1234,567", "1,23", "1,2345", "0,123"] {
        assert_eq!(tokens(text, Commas::Thousands).len(), 3, "{text}");
    }
    assert_eq!(tokens("(1,234)", Commas::Thousands).len(), 5);
    assert_eq!(tokens("1,234", Commas::Separate).len(), 3);
    assert_eq!(tokens("1,25", Commas::Decimal), [number("125", 2)]);
    assert_eq!(tokens("x^2 345", Commas::Thousands).len(), 4);
}

#[test]
fn letters_are_names_or_words() {
    assert_eq!(tokens("xy", Commas::Thousands).len(), 2);
    assert_eq!(tokens(r"\text{ cm}", Commas::Thousands), [Token::Words("cm".into())]);
    assert_eq!(tokens(r"\mathrm{e}", Commas::Thousands), [Token::Symbol("e".into())]);
    assert_eq!(tokens("5 cm", Commas::Thousands), [number("5", 0), Token::Words("cm".into())]);
    assert_eq!(tokens(r"\text{ and }", Commas::Thousands), [Token::And]);
    assert_eq!(tokens(r"90^{\circ}", Commas::Thousands), [number("90", 0), Token::Degree]);
    assert_eq!(tokens(r"\left(x\right]", Commas::Thousands)[2], Token::Close(Bracket::Square));
    assert_eq!(lex("a \\nonsense b", Commas::Thousands), Err(Why::Syntax));
    assert_eq!(lex("a # b", Commas::Thousands), Err(Why::Syntax));
}

#[test]
fn trees_have_children_before_parents() {
    let tree = parse(lex(r"\frac{1}{2}x^2 + \sin 2x, (1, 2]", Commas::Thousands).unwrap()).unwrap();
    assert!(
        matches!(tree.nodes[tree.root], Node::List(ref items) if items.len() == 2 && items.iter().all(|&id| id < tree.root))
    );
    for text in
        ["", "1+", "(1", "1)", "{1", "^2", "x__", r"\frac{1}", r"\sqrt", "|x", r"\begin{pmatrix}1", "n!!", "1 2"]
    {
        let tree = lex(text, Commas::Thousands).and_then(parse);
        assert_eq!(tree.err(), Some(Why::Syntax), "{text:?}");
    }
    let nested = |n: usize| lex(&("{".repeat(n) + "1" + &"}".repeat(n)), Commas::Thousands).and_then(parse).err();
    assert_eq!(nested(40), None);
    assert_eq!(nested(60), Some(Why::TooDeep));
    let long = lex(&("1+".repeat(5000) + "1"), Commas::Thousands).and_then(parse);
    assert_eq!(long.err(), Some(Why::TooManyParts));
}

fn root(algebra: &mut Algebra, degree: u32, of: i64) -> Poly {
    algebra.root(degree, &Frac::integer(of)).unwrap().num
}

#[test]
fn signs_of_sums_of_roots_are_certain() {
    let mut algebra = Algebra::new();
    // sqrt(2) + sqrt(3) - sqrt(5 + 2 sqrt(6)) is zero.
    let six = algebra.root(2, &Frac::integer(6)).unwrap();
    let twice = algebra.mul(&six, &Frac::integer(2)).unwrap();
    let inside = algebra.add(twice, &Frac::integer(5)).unwrap();
    let nested = algebra.root(2, &inside).unwrap().num;
    let sum = root(&mut algebra, 2, 2).add(&root(&mut algebra, 2, 3));
    let zero = sum.clone().add(&nested.clone().neg());
    assert!(!zero.is_empty());
    assert_eq!(sign(&mut algebra, &zero), Ok(Sign::Zero));
    // One part in 10^60 away from it.
    let ten = BigInt::from(10).pow(60);
    let scaled = |poly: &Poly| Poly(poly.0.iter().map(|(mono, c)| (mono.clone(), c * &ten)).collect());
    let one = Poly::constant(1.into());
    assert_eq!(sign(&mut algebra, &scaled(&zero).add(&one)), Ok(Sign::Positive));
    assert_eq!(sign(&mut algebra, &scaled(&zero).add(&one.neg())), Ok(Sign::Negative));
}

#[test]
fn powers_of_roots_are_rewritten() {
    let mut algebra = Algebra::new();
    let i = Frac::atom(algebra.intern(Atom::I));
    assert_eq!(algebra.power(&i, 6).unwrap(), Frac::integer(-1));
    let root = algebra.root(3, &Frac::integer(16)).unwrap();
    assert_eq!(algebra.power(&root, 3).unwrap(), Frac::integer(16));
    let inverse = algebra.power(&root, -3).unwrap();
    assert_eq!(inverse.as_rational(), Some((1.into(), 16.into())));
    let nothing = Frac::integer(0);
    assert_eq!(algebra.power(&nothing, -1), Err(Why::DivisionByZero));
    assert_eq!(algebra.power(&nothing, 0), Err(Why::DivisionByZero));
}

/// Returns the steps that reading and comparing take.
fn work(gold: &str, pred: &str) -> u64 {
    let mut algebra = Algebra::new();
    let mut read = |text| lex(text, Commas::Thousands).and_then(parse).map(|tree| shape(&mut algebra, &tree));
    if let (Ok(gold), Ok(pred)) = (read(gold), read(pred)) {
        Comparer { algebra: &mut algebra, options: &Options::default() }.compare(&gold, &pred);
    }
    algebra.budget.spent()
}

#[test]
fn work_is_counted_and_bounded() {
    for (text, least, most) in [
        ("17", 1, 100),
        (r"\frac{1}{2}", 1, 200),
        (r"3\sqrt{13}", 1, 1_000),
        ("(x+1)^5", 20, 2_000),
        (r"\sqrt{3+2\sqrt2}", 20, 20_000),
        ("(a+b+c+d+e)^{60}", 1_000, MAX_WORK),
        (r"(\sqrt2+\sqrt3+\sqrt5+\sqrt7+\sqrt{11})^{40}", 1_000, MAX_WORK),
    ] {
        let steps = work(text, &format!("{text}+0"));
        assert!((least..=most).contains(&steps), "{text}: {steps}");
        assert_eq!(steps, work(text, &format!("{text}+0")), "{text}");
    }
}

#[test]
fn only_what_holds_all_of_an_answer_is_taken_off() {
    for (text, expected) in [
        (" $x$. ", "x"),
        (r"\boxed{\frac12}.", r"\frac12"),
        (r"$$\boxed{\text{(C)}}$$", "(C)"),
        (r"\text{a} \text{b}", r"\text{a} \text{b}"),
        ("$a$ and $b$", "$a$ and $b$"),
        (r"\text{\}}", r"\}"),
        ("**7**", "7"),
        ("$", "$"),
        ("", ""),
    ] {
        assert_eq!(spelling::bare(text), expected, "{text}");
    }
    for (a, b, same) in [
        (r"\left( 1 , 2 \right)", "(1,2)", true),
        (r"\dfrac{1}{2}", r"\tfrac{1}{2}", true),
        ("1 2", "12", false),
        ("x y", "xy", false),
        (r"\leftarrow", "arrow", false),
        ("{1}", "1", false),
    ] {
        assert_eq!(spelling::spelling(a) == spelling::spelling(b), same, "{a} {b}");
    }
}

#[test]
fn bounds_hold_what_is_computed() {
    let third = Interval::ONE.div(Interval::point(3.0));
    assert!(third.lo < third.hi && third.mul(Interval::point(3.0)).add(Interval::point(-1.0)).reach() < 1e-15);
    assert!(!third.mul(Interval::point(3.0)).add(Interval::point(-1.0)).excludes_zero());
    assert_eq!(Interval::ONE.div(Interval { lo: -1.0, hi: 1.0 }), Interval::WHOLE);
    assert_eq!(Interval::ZERO.mul(Interval::WHOLE), Interval::WHOLE);
    let huge = Interval::integer(&BigInt::from(10).pow(400));
    assert!(huge.lo > 1e308 && huge.hi.is_infinite());
    let odd = Interval::integer(&(BigInt::from(1u64 << 53) + 1));
    assert!(odd.lo <= 9_007_199_254_740_992.0 && odd.hi >= 9_007_199_254_740_994.0);
    assert_eq!(Interval::point(1e300).lazy(f64::sin), Interval { lo: -1.0, hi: 1.0 });
    assert_eq!(Interval::point(-1.0).rising((0.0, f64::MAX), f64::sqrt), Interval::WHOLE);
}
