package minilm

// minScore is the cosine below which a passage has nothing to do with a query.
//
// Measured with 150 stand-alone questions of each set against their own gold
// passages, and against passages of another set: of CLAPnq, SciFact, PubMedQA
// and XQuAD (English) at most one gold passage in a hundred lies below .11 to
// .31, of XQuAD in German and Russian one in a hundred below .15; of unrelated
// pairs 95 in a hundred lie below .08 to .14, and the median of the best of
// 150 to 300 unrelated passages is .15 to .26. Follow-up questions that were
// not made stand-alone (MTRAG) have gold as low as .07: the score says nothing
// about them, so it must never outvote a keyword match.
const minScore = 0.15
