/* The pipeline: passes in order, each of which rewrites the graph in place.
 *
 *   select -> sparsify -> objective -> expand -> split -> autodiff -> optimizer -> simplify -> cse
 *   -> dce
 *
 * passes.def has a row per pass; pipeline.c runs them and verifies the graph after each one. A pass
 * reports mistakes of the user's network (an op without a masked form, batch norm over one value)
 * as diagnostics; everything else that is wrong is an internal error. */
#ifndef SPARKC_PASSES_PASSES_H
#define SPARKC_PASSES_PASSES_H

#include "base/diagnostics.h"
#include "ir/graph.h"
#include "passes/precision.h"
#include "passes/rewrites.h"

/* What the program computes. All read `params` and `state`. Accumulate and apply, made from one
 * network by the same options, have the same segments and states in the same order, so that their
 * programs can work on the same memory. */
typedef enum Entry {
    ENTRY_FEATURES,    /* the encoder on whole pictures: outputs feature.0 .. (largest map first) */
    ENTRY_LOGITS,      /* the head on whole pictures: output logits */
    ENTRY_RECONSTRUCT, /* masked: outputs loss, reconstruction */
    ENTRY_TRAIN_STEP,  /* forward, loss, backward, update: outputs loss, grad_norm, ok */
    ENTRY_UPDATE,      /* the optimizer alone: flat input "gradients", outputs grad_norm, ok */
    ENTRY_ACCUMULATE,  /* forward, loss, backward; the gradients are added to the flat state
                          "gradients": outputs loss, grad_norm, ok */
    ENTRY_APPLY,       /* the optimizer alone, over that state: outputs grad_norm, ok */
    ENTRY_FINETUNE_STEP /* encoder and head on whole pictures, input "targets": loss, backward,
                           update, average of the parameters: outputs loss, logits, grad_norm, ok */
} Entry;

typedef enum OptimizerKind { OPTIMIZER_LAMB, OPTIMIZER_ADAMW, OPTIMIZER_SGD } OptimizerKind;

typedef enum DensifyNorm {
    DENSIFY_AUTO, /* batch_norm if the network uses batch_norm, else layer_norm */
    DENSIFY_BATCH_NORM,
    DENSIFY_LAYER_NORM
} DensifyNorm;

/* The loss of ENTRY_FINETUNE_STEP; its targets are shares of the classes. */
typedef enum FinetuneLoss {
    FINETUNE_CROSS_ENTROPY,       /* of the softmax, mean over the batch */
    FINETUNE_BINARY_CROSS_ENTROPY /* of each class's sigmoid, mean over batch and classes */
} FinetuneLoss;

/* Whose decisions an entry with gradients follows (passes/decisions.h). */
typedef enum Decisions {
    DECISIONS_OWN,      /* its own, as everything that trains */
    DECISIONS_RECORDED, /* its own, and gives them back: outputs decision.<value> */
    DECISIONS_REPLAYED  /* those it is given: inputs decision.<value> */
} Decisions;

typedef struct PassOptions {
    Entry entry;
    int64_t batch; /* images per step; 0: as many as the graph has */
    bool training; /* statistics of the batch, drop path and dropout active; else running
                      statistics, none */
    bool expose;   /* further outputs for comparison: feature.i (largest first), todec.i (smallest
                      first), reconstruction, and with gradients "grad.<segment>" */
    Decisions decisions;   /* of kinks and maxima */
    double mask_ratio;     /* share of hidden cells; see passes_keep */
    int64_t decoder_width; /* channels at the deepest level, halved per level; 768 by default */
    DensifyNorm densify_norm;
    bool stochastic; /* false: dropout and drop_path do nothing even in training */
    OptimizerKind optimizer;
    double beta1, beta2; /* beta2 0: 0.95 if the network uses batch_norm, else 0.999 */
    double epsilon;      /* 0: the optimizer's own (LAMB 1e-6, AdamW 1e-8) */
    double momentum;     /* SGD, Nesterov */
    double clip;         /* largest global gradient norm; 0: no clipping */
    bool always_adapt;   /* LAMB: the trust ratio also where no weight decay applies */
    FinetuneLoss finetune_loss;
    double layer_decay;  /* ENTRY_FINETUNE_STEP: factor of the learning rate from each group of
                            layers to the one before (passes/layer_groups.h); 0: none */
    Precision precision; /* of the program (passes/program.h); of the graph's passes split asks */
    Rewrites *rewrites;  /* counts them and may stop them; NULL: nobody counts */
} PassOptions;

/* The official defaults: train step, mask 0.6, width 768, LAMB with betas 0.9 and automatic,
 * clip 5. */
PassOptions pass_options_default(void);

/* keep = round(cells * (1 - ratio)) in double, halves to even. */
int64_t passes_keep(int64_t cells, double mask_ratio);

/* Each returns true if it changed the graph. They report into `diagnostics`; after an error the
 * graph is only good for being thrown away. */
typedef bool PassFunction(Graph *graph, const PassOptions *options, Diagnostics *diagnostics);

PassFunction pass_select; /* keeps the outputs that the entry wants, and what they need */
PassFunction
    pass_sparsify; /* masks the image, re-types the encoder, refuses what has no masked form */
PassFunction pass_objective; /* densify, decoder, target, loss */
PassFunction pass_expand;    /* composites become primitives */
PassFunction pass_split;     /* convolutions of densified maps, by visible rows */
PassFunction pass_autodiff;  /* gradients of the output "loss" for every segment, collected */
PassFunction pass_optimizer; /* clip, moments, update, transaction, commits */
PassFunction
    pass_simplify;     /* local rewrites that change no result beyond rounding marks in its table */
PassFunction pass_cse; /* equal ops become one */
PassFunction pass_dce; /* what nothing needs goes */

/* What holds between passes. A fact about something that the entry does not have (the loss of
 * ENTRY_FEATURES) holds once the pass that would have made it has run. */
typedef enum Fact {
    FACT_ENTRY = 1,      /* the outputs are those of one entry, or become them */
    FACT_MASKED = 2,     /* the encoder of a masked entry sees visible cells only */
    FACT_LOSS = 4,       /* there is an output "loss" */
    FACT_PRIMITIVE = 8,  /* no composite op is left */
    FACT_GRADIENTS = 16, /* the gradients of all parameters are there, as one flat value */
    FACT_UPDATE = 32,    /* parameters and optimizer state are committed */
    FACT_UNIQUE = 64,    /* no two nodes compute the same; looked up */
    FACT_LIVE = 128      /* every node serves an output or a commit; looked up */
} Fact;

typedef struct PassInfo {
    const char *name, *help;
    PassFunction *run;
    unsigned needs, gives, keeps; /* sets of Fact, as in passes/passes.def */
} PassInfo;

/* The pipeline in order; `count` is set. */
const PassInfo *passes_list(int *count);

/* Called after each pass, and with pass NULL before the first. */
typedef void PassObserver(void *context, const PassInfo *pass, const Graph *graph, bool changed,
                          double seconds);

/* Runs the pipeline from the pass after graph->stage up to and including `until` (NULL: to the
 * end), verifying after each pass. False if a pass reported an error (the rest does not run). */
bool passes_run(Graph *graph, const PassOptions *options, const char *until,
                Diagnostics *diagnostics, PassObserver *observer, void *context);

#endif
