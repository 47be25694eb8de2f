"""A reply by CTranslate2: `generate_batch` for the candidates, `score_batch` for MMI."""

import ctranslate2
from checkpoints import END, converted
from server import END_ID, Clock, Stages, arguments, random_ids, serve


def words(ids: list[int]) -> list[str]:
    """CTranslate2 speaks in words; those of our checkpoints are the ids in decimals."""
    return [END if token == END_ID else str(token) for token in ids]


def main() -> None:
    """Convert if need be, load and serve."""
    args = arguments(("--compute", ("float32", "int8")), ("--mmi", ("batched", "none")))
    folder = str(converted(args.folder, args.compute))
    forward, reverse = (ctranslate2.Generator(folder, compute_type=args.compute) for _ in range(2))

    def run() -> Stages:
        prompts = [words(random_ids(args.history)) for _ in range(args.chats)]
        source = words(random_ids(args.source))
        clock, stages = Clock(), {}
        results = forward.generate_batch(
            prompts,
            num_hypotheses=args.candidates,
            sampling_topk=10,
            min_length=args.new_tokens,
            max_length=args.new_tokens,
            include_prompt_in_result=False,
        )
        stages["generate"] = clock.read()
        drawn = [sequence for result in results for sequence in result.sequences]
        assert len(drawn) == args.chats * args.candidates
        assert all(len(sequence) == args.new_tokens for sequence in drawn)
        if args.mmi == "batched":
            scored = reverse.score_batch([[*sequence, END, *source] for sequence in drawn])
            sums = [sum(result.log_probs[-args.source :]) for result in scored]
            assert len(sums) == len(drawn)
            stages["mmi"] = clock.read()
        return stages

    serve(run, args.chats)


if __name__ == "__main__":
    main()
