//! Exponentiation in a group whose inverses are free, and the two groups that it runs in: on forms of fixed capacity where
//! the discriminant fits them, and on any.

use super::fixed::{Form, KeptForm, Workspace};
use super::form;
use super::integer::Int;

/// A class group as exponentiation needs it. A space belongs to one thread.
pub(super) trait Operations: Sync {
    /// Elements under computation.
    type Form: Clone + Send;
    /// Elements in memory.
    type Kept: Sync;
    /// Where operations work.
    type Space;

    fn space(&self) -> Self::Space;
    fn identity(&self) -> Self::Form;
    fn keep(&self, form: &Self::Form) -> Self::Kept;
    fn square(&self, space: &mut Self::Space, form: &mut Self::Form);
    fn compose(&self, space: &mut Self::Space, form: &mut Self::Form, other: &Self::Form);
    /// Composes with a kept element, or with its inverse.
    fn compose_kept(&self, space: &mut Self::Space, form: &mut Self::Form, other: &Self::Kept, inverse: bool);
}

/// The product of two powers in one run of squarings (Straus, "Addition chains of vectors", 1964), by signed windows:
/// inversion is free. Exponents are not negative.
pub(super) fn joint_power<G: Operations>(group: &G, factors: [(&G::Form, &Int); 2]) -> G::Form {
    const WINDOW: u32 = 5;
    let mut space = group.space();
    let factors = factors.map(|(base, exponent)| {
        let mut odd_powers = vec![group.keep(base)];
        if exponent.bits() > 1 {
            let mut square = base.clone();
            group.square(&mut space, &mut square);
            let mut power = base.clone();
            while odd_powers.len() < 1 << (WINDOW - 2) {
                group.compose(&mut space, &mut power, &square);
                odd_powers.push(group.keep(&power));
            }
        }
        (odd_powers, signed_digits(exponent, WINDOW))
    });
    let mut power: Option<G::Form> = None;
    for index in (0..factors.iter().map(|(_, digits)| digits.len()).max().unwrap_or(0)).rev() {
        if let Some(power) = &mut power {
            group.square(&mut space, power);
        }
        for (odd_powers, digits) in &factors {
            let digit = digits.get(index).copied().unwrap_or(0);
            if digit != 0 {
                let power = power.get_or_insert_with(|| group.identity());
                group.compose_kept(&mut space, power, &odd_powers[usize::from(digit.unsigned_abs()) / 2], digit < 0);
            }
        }
    }
    power.unwrap_or_else(|| group.identity())
}

/// Digits of `exponent`, lowest first, each 0 or odd and below `2^(width - 1)` in magnitude: width-`width` NAF.
///
/// Source: Hankerson, Menezes, Vanstone, *Guide to Elliptic Curve Cryptography*, algorithm 3.35.
pub(super) fn signed_digits(exponent: &Int, width: u32) -> Vec<i8> {
    let mut digits = Vec::with_capacity(exponent.bits() + 1);
    let mut index = 0;
    let mut carry = 0i8;
    while index < exponent.bits() || carry != 0 {
        if (exponent.bit(index) as i8 + carry) & 1 == 0 {
            // 0 stays 0, 1 + 1 carries on.
            digits.push(0);
            index += 1;
            continue;
        }
        let window = (0..width as usize).map(|i| (exponent.bit(index + i) as i8) << i).sum::<i8>() + carry;
        let digit = if window >= 1 << (width - 1) { window - (1 << width) } else { window };
        carry = (digit < 0) as i8;
        digits.push(digit);
        digits.resize(digits.len() + width as usize - 1, 0);
        index += width as usize;
    }
    digits
}

/// The class group of one negative discriminant of at most 2048 bits.
pub(super) struct FixedGroup {
    workspace: Workspace,
    identity: Form,
}

impl FixedGroup {
    /// `None` if the discriminant, of `bits` bits, is too long. `identity` is its form `(1, b, c)`.
    pub fn new(bits: usize, identity: Form) -> Option<Self> {
        Workspace::new(bits).map(|workspace| Self { workspace, identity })
    }
}

impl Operations for FixedGroup {
    type Form = Form;
    type Kept = KeptForm;
    /// With room for the kept form.
    type Space = (Workspace, Form);

    fn space(&self) -> (Workspace, Form) {
        (self.workspace.clone(), self.identity.clone())
    }

    fn identity(&self) -> Form {
        self.identity.clone()
    }

    fn keep(&self, form: &Form) -> KeptForm {
        KeptForm::new(form)
    }

    fn square(&self, space: &mut Self::Space, form: &mut Form) {
        space.0.square(form);
    }

    fn compose(&self, space: &mut Self::Space, form: &mut Form, other: &Form) {
        space.0.compose(form, other);
    }

    fn compose_kept(&self, (workspace, other): &mut Self::Space, form: &mut Form, kept: &KeptForm, inverse: bool) {
        kept.write(other);
        if inverse {
            workspace.compose_inverse(form, other);
        } else {
            workspace.compose(form, other);
        }
    }
}

impl Operations for form::Group {
    type Form = form::Form;
    type Kept = form::Form;
    type Space = ();

    fn space(&self) {}

    fn identity(&self) -> form::Form {
        self.identity()
    }

    fn keep(&self, form: &form::Form) -> form::Form {
        form.clone()
    }

    fn square(&self, _: &mut (), form: &mut form::Form) {
        *form = self.square(form);
    }

    fn compose(&self, _: &mut (), form: &mut form::Form, other: &form::Form) {
        *form = form::Group::compose(self, form, other);
    }

    fn compose_kept(&self, _: &mut (), form: &mut form::Form, kept: &form::Form, inverse: bool) {
        let other = form::Form {
            a: kept.a.clone(),
            b: if inverse { -kept.b.clone() } else { kept.b.clone() },
            c: kept.c.clone(),
        };
        *form = form::Group::compose(self, form, &other);
    }
}
