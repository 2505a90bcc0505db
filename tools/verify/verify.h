/* Verification against recorded vectors: what the kinds of case share. A kind sets up programs from
 * the case's settings, runs them by an executor and hands what they give to the comparison. */
#ifndef SPARKC_TOOLS_VERIFY_VERIFY_H
#define SPARKC_TOOLS_VERIFY_VERIFY_H

#include "passes/passes.h"
#include "runtime/safetensors.h"
#include "runtime/train/schedule.h"
#include "tools/execute/executor.h"
#include "tools/verify/case.h"
#include "tools/verify/compare.h"

typedef struct NetworkSource NetworkSource;

typedef struct Verify {
    Arena *arena;
    const char *directory;    /* of the case; NULL: verify without a reference */
    const char *network_name; /* without a reference */
    const char *model;        /* zoo: the model's name in the folder; else NULL */
    Case settings;
    NetworkSource *network;   /* NULL: none was named on the command line */
    Diagnostics *diagnostics; /* of an .ir file */
    const ExecutorKind *executor;
    ExecutorOptions executor_options;
    Comparison *comparison;
} Verify;

/* The shape of a batch of images, N, C, then space. */
typedef struct ImageShape {
    int rank;
    int64_t extent[SAFETENSORS_MAX_RANK];
} ImageShape;

/* The elements of a batch. */
size_t verify_image_count(const ImageShape *shape);

/* A compiled program with its executor. */
typedef struct CaseProgram {
    Arena *arena; /* for what lives as long as the program */
    PassOptions options;
    Graph *graph;
    Executor *executor;
} CaseProgram;

/* The settings of one step that programs read as named scalars. */
typedef struct StepScalars {
    double lr, weight_decay;
    int64_t step;     /* 1, 2, ... */
    double ema_decay; /* of fine-tuning */
} StepScalars;

/* The kinds of case, each in its file. They return a failure if the case cannot be run. */
Status verify_step(Verify *verify);       /* one step, everything stored */
Status verify_finetune(Verify *verify);   /* the same of fine-tuning */
Status verify_statistics(Verify *verify); /* one step of a large network, statistics stored */
Status verify_precision(Verify *verify);  /* a step in bf16 beside one in fp32 */
Status verify_optimizer(Verify *verify);  /* steps of the optimizer, gradients given */
Status verify_schedule(Verify *verify);   /* closed forms */
Status verify_zoo(Verify *verify);        /* a classifier in evaluation mode */

/* Many steps. `bounds` NULL: in fp32; else the bounds.json of bf16, where the case has losses and
 * gradient norms of its own, and nothing is said of where the weights end. */
Status verify_training(Verify *verify, const Case *bounds);

/* Evaluation mode of a case that verify_step has checked in training mode; `weights` is its file.
 */
Status verify_evaluation(Verify *verify, const Safetensors *weights, const Safetensors *input);

/* "<directory>/<name>". */
const char *verify_path(const Verify *verify, const char *name);

/* Opens a file of the case's folder. */
Status verify_open(Verify *verify, const char *name, Safetensors **file);

/* Requires the groups and metrics of "suggested_tolerance" in a case, each group's name behind
 * `prefix`. */
Status verify_require_tolerances(Verify *verify, const Case *from, const char *prefix);

/* Options of the passes as the case has them: mask ratio, decoder, densify norm, optimizer. */
Status verify_pass_options(Verify *verify, PassOptions *options);

/* Only the optimizer's part of them. */
Status verify_optimizer_options(Verify *verify, PassOptions *options);

/* The schedule of the case's "optimizer.schedule". */
Status verify_read_schedule(Verify *verify, Schedule *schedule);

/* Compiles the network for images of a shape and prepares to run it; the caller destroys it. */
Status program_create(Verify *verify, const PassOptions *options, const ImageShape *shape,
                      CaseProgram **program);

/* Compiles the optimizer alone for a table of segments, which is copied. */
Status program_create_update(Verify *verify, const PassOptions *options, const Segment *segments,
                             size_t count, CaseProgram **program);

void program_destroy(CaseProgram *program);

/* Writes every scalar that the program reads. */
Status program_set_scalars(CaseProgram *program, StepScalars scalars);

/* Writes a batch of images, in a file's order. */
Status program_set_images(CaseProgram *program, const ImageShape *shape, const double *images);

/* Writes the visible cells from a mask, one number per cell and image, 1 = visible; all are visible
 * if `active` is NULL. Programs that mask nothing take none. */
Status program_set_active(CaseProgram *program, const double *active);

/* Loads every parameter and state of a program from a checkpoint. Missing tensors are problems of
 * the comparison. */
Status program_load(Verify *verify, CaseProgram *program, const Safetensors *weights);

/* Makes tensors of a checkpoint that a program does not read problems of the comparison. */
void program_report_unread(Verify *verify, const CaseProgram *program, const Safetensors *weights);

/* The segment or state that a checkpoint calls `name`, or NULL. */
const Segment *program_segment(const CaseProgram *program, const char *name);
const StateSlot *program_state(const CaseProgram *program, const char *name);

/* Values in the order of files, in `arena`; data NULL if the program does not give them. Maps
 * become N, C, space; parameters and whatever `segment` describes get PyTorch's order. */
ExecutorTensor program_output(CaseProgram *program, Arena *arena, const char *name);
ExecutorTensor program_gradient(CaseProgram *program, Arena *arena, const Segment *segment);
ExecutorTensor program_param(CaseProgram *program, Arena *arena, const Segment *segment);

/* The part of a flat state ("exp_avg") that belongs to a segment. */
ExecutorTensor program_flat_state(CaseProgram *program, Arena *arena, const char *state,
                                  const Segment *segment);

/* The output of a program for what files call "loss", "feat.2", "todec.0" or "rec"; NULL for other
 * names. */
const char *verify_output_name(Arena *arena, const char *name);

/* The same status, its message copied so that it outlives the arena it was made in. */
Status verify_outlive(const Verify *verify, Status status);

/* A tensor of a file that must be there with `count` elements (0: any number). */
Status verify_read(Arena *arena, const Safetensors *file, const char *name, size_t count,
                   const double **values, const SafetensorsTensor **tensor);

/* Loads parameters by the recipe: offset and scale of each by its name in the case's "recipe";
 * running means are 0 and variances 1. */
Status program_load_recipe(Verify *verify, CaseProgram *program);

/* A batch of images by the recipe: "shape", "offset" and "scale" of the entry at a path. */
Status verify_recipe_shape(const Case *from, const char *path, ImageShape *shape);
Status verify_recipe_images(const Case *from, const char *path, const char *name, Arena *arena,
                            const double **images);

/* Compares statistics with the tensor `expected` of a file: the metrics sum, l2, max, probe and
 * first that the group requires (reference README, "Tolerances"). `count`: elements of the tensor.
 */
Status verify_compare_statistics(Verify *verify, Arena *arena, const Safetensors *file,
                                 const char *expected, const char *group, const double *values,
                                 size_t count);

/* Requires all five metrics of statistics for a group. */
void verify_require_statistics(Verify *verify, const char *group, double tolerance);

/* The tensor "image" of a file, as a batch of images with one to three directions of space. */
Status verify_read_images(Verify *verify, const Safetensors *file, ImageShape *shape,
                          const double **images);

/* The group of a parameter in "grad.<group>": "encoder", "decoder", "densify" or "mask_token". */
const char *verify_parameter_group(const char *name);

/* True if the parameter's gradient is zero in exact arithmetic: the case lists it in "zero_grad".
 */
bool verify_is_zero_gradient(const Verify *verify, const char *name);

/* Compares one tensor with the file's, named `expected`; a missing output is a problem. */
Status verify_compare(Verify *verify, Arena *arena, const Safetensors *file, const char *expected,
                      const char *group, ExecutorTensor actual);

/* What the update of a step is compared by: the files, the scalars, the factor of clipping, and the
 * smallest clipped gradient of delta.selected. Files with `bare_names` hold the plain network, else
 * a SparK checkpoint. */
typedef struct StepChange {
    Verify *verify;
    const Safetensors *weights, *expect, *step;
    StepScalars scalars;
    double clip_factor, selected;
    bool bare_names;
} StepChange;

/* After a step: the change of each parameter, end to end, in the groups
 *     delta           all elements
 *     delta.selected  those with a gradient that is large against the optimizer's epsilon */
Status verify_change(const StepChange *step, CaseProgram *program);

/* The change that the optimizer alone makes of the stored gradients, group delta.optimizer_only;
 * options and segments are those of `program`. */
Status verify_change_alone(const StepChange *step, CaseProgram *program);

/* Checks the number of parameters and the list "no_decay" of the case against the program. */
Status verify_segments(Verify *verify, const CaseProgram *program);

#endif
