//! Windows into packs on two budgets.
