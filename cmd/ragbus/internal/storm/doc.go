// Package storm proves the platform's promise the hard way: it runs Ragbus as
// processes, sends documents and questions as clients do, and meanwhile, from
// a seed, kills, pauses and restarts processes and parts, cuts and delays
// connections, makes models fail, repeats and reorders events and fills the
// broker's quota. Then everything comes to rest, and from the outside and
// against the stores it checks:
//
//  1. every accepted document is indexed, its newest version whole, or failed
//     with a reason that its owner sees and may retry;
//  2. what was deleted left no row, point, blob or cached vector;
//  3. every accepted question has one stored terminal answer, and every
//     stream was a consistent sequence with one end;
//  4. unchanged text is never embedded again, and a model is paid for a
//     question once, and once more for each fault that can have hit it;
//  5. queues are empty, and dead letters are those that were injected;
//  6. memory and goroutines are back where they were;
//  7. no response ever held what its asker must not see.
//
// The first violation is told with the seed, its own history and the faults
// of its time.
package storm
