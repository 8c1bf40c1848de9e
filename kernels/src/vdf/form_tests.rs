//! The class group against Gauss' composition, published products and small groups that can be listed whole.

use dashu_int::{IBig, UBig};
use proptest::prelude::*;

use super::super::group::signed_digits;
use super::*;
use crate::vdf::{DiscriminantValue, naive};

fn pair(form: &Form) -> (IBig, IBig) {
    (form.a.0.clone(), form.b.0.clone())
}

fn group_of(bits: u32, seed: u8) -> (Group, IBig) {
    let value = DiscriminantValue::from_seed(bits, &[seed; 32]).unwrap();
    (value.group(), -IBig::from(UBig::from_be_bytes(&value.to_bytes())))
}

/// A class as good as random.
fn element(group: &Group, exponent: &[u8]) -> Form {
    group.power(&group.generator(), &Int::from_be_bytes(exponent))
}

/// Every reduced primitive form of a small discriminant.
fn all_forms(group: &Group, d: i64) -> Vec<Form> {
    let mut forms = Vec::new();
    for a in (1i64..).take_while(|a| 3 * a * a <= -d) {
        for b in -a + 1..=a {
            let Some(form) = group.form(Int(IBig::from(a)), Int(IBig::from(b))) else { continue };
            let reduced = a <= (b * b - d) / (4 * a) && reduce(form.clone()) == form;
            let (g, _, _) = form.a.gcd_ext(&form.b);
            if reduced && g.gcd_ext(&form.c).0.is_one() {
                forms.push(form);
            }
        }
    }
    forms
}

/// More of them: `SHARDMARK_ORACLE_SQUARINGS=100000 cargo test --release -p shardmark-kernels --lib oracle`.
#[test]
fn random_squarings_agree_with_the_oracle_at_every_size() {
    let count = std::env::var("SHARDMARK_ORACLE_SQUARINGS").map_or(100, |count| count.parse().unwrap());
    for bits in [512, 1024, 2048] {
        let (group, d) = group_of(bits, 0x2c);
        // Squares of squares are as good as random once they have left the generator's small powers.
        let mut form = element(&group, &[0xd1; 40]);
        for step in 0..count {
            let square = group.square(&form);
            assert_eq!(pair(&square), naive::compose(&pair(&form), &pair(&form), &d), "{bits} bits, step {step}");
            form = square;
        }
    }
}

#[test]
fn small_class_groups_are_groups_and_agree_with_gauss() {
    // Prime and composite discriminants, 1 modulo 8 and 5 modulo 8; class numbers from Cohen, table of appendix B.1.
    for (d, class_number) in [(-7, 1), (-15, 2), (-23, 3), (-39, 4), (-47, 5), (-71, 7), (-95, 8), (-163, 1), (-199, 9)]
    {
        assert_eq!(all_forms(&Group::new(Int(IBig::from(d))), d).len(), class_number, "{d}");
    }
    for d in [-23i64, -39, -95, -199, -420 * 4 + 1, -1155, -2311, -3003, -4199, -9999] {
        assert_eq!(d.rem_euclid(4), 1);
        let big = IBig::from(d);
        let group = Group::new(Int(big.clone()));
        let forms = all_forms(&group, d);
        for left in &forms {
            assert_eq!(pair(&group.square(left)), naive::compose(&pair(left), &pair(left), &big), "{d} {left:?}");
            assert_eq!(group.compose(left, &group.invert(left)), group.identity());
            for right in &forms {
                let product = group.compose(left, right);
                assert_eq!(pair(&product), naive::compose(&pair(left), &pair(right), &big), "{d} {left:?} {right:?}");
                assert!(forms.contains(&product));
            }
        }
    }
}

#[test]
fn poanetworks_published_products_are_found() {
    let text = include_str!("../../vectors/vdf/poanetwork_classgroup_multiply.txt");
    let number = |text: &str| text.parse::<IBig>().unwrap();
    let form = |text: &str| {
        let [a, b, c] = text.split(',').map(|n| Int(number(n))).collect::<Vec<_>>().try_into().unwrap();
        Form { a, b, c }
    };
    let mut squares = 0;
    for line in text.lines() {
        let [left, right, want] = line.split('|').map(form).collect::<Vec<_>>().try_into().unwrap();
        let discriminant = left.b.square() - (&left.a * &left.c).double().double();
        let group = Group::new(discriminant);
        assert_eq!(group.compose(&left, &right), want);
        assert_eq!(group.compose(&right, &left), want);
        if left == right {
            assert_eq!(group.square(&left), want);
            squares += 1;
        }
    }
    assert_eq!((text.lines().count(), squares), (100, 87));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nudupl_and_nucomp_are_gauss_composition(
        seed in 0u8..4,
        bits in prop::sample::select(vec![256u32, 264, 512]),
        e in any::<[u8; 48]>(),
        f in prop::collection::vec(any::<u8>(), 0..48),
    ) {
        let (group, d) = group_of(bits, seed);
        let (left, right) = (element(&group, &e), element(&group, &f));
        prop_assert_eq!(pair(&group.square(&left)), naive::compose(&pair(&left), &pair(&left), &d));
        prop_assert_eq!(pair(&group.compose(&left, &right)), naive::compose(&pair(&left), &pair(&right), &d));
        prop_assert_eq!(group.compose(&left, &left), group.square(&left));
    }

    #[test]
    fn composition_is_associative_and_commutative_and_has_inverses(
        e in any::<[u8; 32]>(),
        f in any::<[u8; 32]>(),
        g in any::<[u8; 2]>(),
    ) {
        let (group, _) = group_of(256, 5);
        let (x, y, z) = (element(&group, &e), element(&group, &f), element(&group, &g));
        let left = group.compose(&group.compose(&x, &y), &z);
        prop_assert_eq!(&left, &group.compose(&x, &group.compose(&y, &z)));
        prop_assert_eq!(group.compose(&x, &y), group.compose(&y, &x));
        prop_assert_eq!(group.compose(&x, &group.identity()), x.clone());
        prop_assert_eq!(group.compose(&x, &group.invert(&x)), group.identity());
        prop_assert_eq!(group.compose(&left, &group.invert(&z)), group.compose(&x, &y));
    }

    #[test]
    fn powers_follow_the_naive_ladder(e in prop::collection::vec(any::<u8>(), 0..40), r in any::<[u8; 16]>()) {
        let (group, d) = group_of(256, 6);
        let base = element(&group, b"a base");
        let x = group.generator();
        let first = naive::power(&pair(&base), &UBig::from_be_bytes(&e), &d);
        prop_assert_eq!(pair(&group.power(&base, &Int::from_be_bytes(&e))), first.clone());
        let second = naive::power(&pair(&x), &UBig::from_be_bytes(&r), &d);
        let joint = group.joint_power(&base, &Int::from_be_bytes(&e), &x, &Int::from_be_bytes(&r));
        prop_assert_eq!(pair(&joint), naive::compose(&first, &second, &d));
    }

    #[test]
    fn signed_digits_spell_the_exponent(bytes in prop::collection::vec(any::<u8>(), 0..36)) {
        let exponent = Int::from_be_bytes(&bytes);
        let digits = signed_digits(&exponent, 5);
        prop_assert!(digits.iter().all(|d| *d == 0 || d % 2 != 0 && d.unsigned_abs() < 16));
        let sum = digits.iter().rev().fold(IBig::ZERO, |sum, d| sum * IBig::from(2) + IBig::from(*d));
        prop_assert_eq!(sum, exponent.0);
    }

    #[test]
    fn reduction_keeps_the_class_and_bounds_the_coefficients(
        e in any::<[u8; 32]>(),
        steps in prop::collection::vec(-1000i64..1000, 0..12),
    ) {
        let (group, _) = group_of(256, 7);
        let reduced = element(&group, &e);
        // Any walk of translations and inversions stays in the class.
        let Form { mut a, mut b, mut c } = reduced.clone();
        for t in steps {
            let t = Int(IBig::from(t));
            let next = &b + (&a * &t).double();
            c = c + &t * (&b + &(&a * &t));
            b = next;
            (a, b, c) = (c, -b, a);
        }
        prop_assert_eq!(reduce(Form { a, b, c }), reduced);
    }
}

#[test]
fn exponents_at_the_edges_of_a_window_are_exact() {
    let (group, d) = group_of(256, 8);
    let base = element(&group, b"edge");
    for exponent in (0u64..70).chain([127, 128, 255, 256, 1023, u64::MAX]) {
        let want = naive::power(&pair(&base), &UBig::from(exponent), &d);
        assert_eq!(pair(&group.power(&base, &Int::from(exponent))), want, "{exponent}");
    }
}

#[test]
fn squares_in_fixed_and_in_long_integers_agree() {
    for (bits, seed, steps) in [(256, 1, 300), (264, 2, 300), (1024, 3, 200), (2048, 4, 100)] {
        let (group, _) = group_of(bits, seed);
        let mut form = element(&group, &[0xa5; 40]);
        let start = form.clone();
        for _ in 0..steps {
            let next = group.square(&form);
            assert_eq!(next, group.square_long(&form), "{bits} bits");
            form = next;
        }
        assert_eq!(group.square_times(&start, steps), form);
    }
}

#[test]
fn a_discriminant_too_long_for_fixed_integers_is_squared_in_long_ones() {
    let (group, d) = group_of(2056, 5);
    assert!(fixed::Workspace::new(group.discriminant.bits()).is_none());
    let form = element(&group, &[0xa5; 4]);
    assert_eq!(pair(&group.square(&form)), naive::compose(&pair(&form), &pair(&form), &d));
}
