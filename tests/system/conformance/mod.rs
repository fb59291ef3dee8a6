//! One suite for two stores: what the double in memory does is what MongoDB does.
