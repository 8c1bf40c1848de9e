//! Stand-ins for the libraries whose feature is off, so that their rows say so.

#[cfg(not(feature = "gmp"))]
pub(super) mod gmp {
    //! GMP.

    use super::super::{Peer, discriminant, rsa};

    pub const POWM: Peer<rsa::Open> = Peer { name: "GMP", timed: "", call: None };
    pub const SEARCH: Peer<discriminant::Find> = Peer { name: "GMP", timed: "", call: None };
}

#[cfg(not(feature = "openssl"))]
pub(super) mod openssl {
    //! OpenSSL.

    use super::super::{Peer, rsa};

    pub const MOD_EXP: Peer<rsa::Open> = Peer { name: "OpenSSL", timed: "", call: None };
}

#[cfg(not(feature = "poanetwork"))]
pub(super) mod poanetwork {
    //! poanetwork's crates.

    use super::super::{Peer, discriminant, square, verify};

    pub const SQUARINGS: Peer<square::Open> = Peer { name: "poanetwork vdf", timed: "", call: None };
    pub const PUBLISHED: Peer<verify::Judge> = Peer { name: "poanetwork vdf as published", timed: "", call: None };
    pub const CORRECTED: Peer<verify::Judge> = Peer { name: "poanetwork vdf corrected", timed: "", call: None };
    pub const SEARCH: Peer<discriminant::Find> = Peer { name: "poanetwork vdf corrected", timed: "", call: None };
}
