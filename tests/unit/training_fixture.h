/* A small network in training, fed with batches by number. */
#ifndef SPARKC_TESTS_UNIT_TRAINING_FIXTURE_H
#define SPARKC_TESTS_UNIT_TRAINING_FIXTURE_H

#include "tools/train/trainer.h"

typedef struct TrainingFixture {
    Arena *arena;
    const Graph *network;
    Trainer *trainer;
} TrainingFixture;

/* 3x32x32 images, 2 levels, batch norm; 4 images at a time, drop path and dropout at work. */
TrainingFixture training_open(int64_t micro_batches, OptimizerKind optimizer);
void training_close(TrainingFixture *fixture);

/* One micro-batch: pictures that hang on `number` alone. */
TrainerResult training_feed(const TrainingFixture *fixture, uint32_t number, bool *updated);

/* The same with an infinity in picture `picture`. */
TrainerResult training_feed_infinity(const TrainingFixture *fixture, uint32_t number, int picture);

/* Whether parameters and all states (of checkpoints) are the same bits. */
bool training_same(const TrainingFixture *a, const TrainingFixture *b);

#endif
