"""Basis, sensors and the three stages of training."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sparsevq.config.data_sets import Symmetries
from sparsevq.config.section import Count, Fraction, NonNegative, Rate, Section, each_once


class BasisConfig(Section):
    """Time mean of each point, and POD modes of the training flows with their symmetry variants."""

    modes: Count = Field(
        512,
        description="modes, at most: fewer where the training flows support fewer; to compute them, memory holds twice "
        "as many frames",
    )


Placement = Literal["random", "qr", "variance", "grid", "region", "csv"]


class SensorsConfig(Section):
    """Where the sensors are placed. The sparse set is nested in the semi-sparse one."""

    placement: Placement = Field(
        "random",
        description="random; QR pivots of the basis; variance: one after the other where it lowers the expected error "
        "of the linear estimate the most; a regular grid; random in a region; from a CSV file",
    )
    num_semi_sparse: Count = Field(300, description="sensors that the semi-sparse (teacher) set has beyond the sparse")
    region: tuple[tuple[float, float], ...] | None = Field(
        None, description="only between these (low, high) along each axis, in the coordinates' units"
    )
    min_distance: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="least distance of two sensors, in the axes' unit; on a sphere in degrees along great circles",
    )
    csv: Path | None = Field(None, description="for placement=csv: a file with one column of coordinates per axis")
    channels: Annotated[tuple[str, ...], AfterValidator(each_once), "CHANNEL,..."] = Field(
        (), description="channels that the sensors read; none named: all"
    )

    @property
    def needs_basis(self) -> bool:
        """Whether the placement looks at the modes of the data set."""
        return self.placement in ("qr", "variance")

    @model_validator(mode="after")
    def _placement_has_what_it_needs(self) -> Self:
        if self.placement == "region" and self.region is None:
            raise ValueError("placement=region needs `region`: one (low, high) pair for each axis")
        if self.placement == "csv" and self.csv is None:
            raise ValueError("placement=csv needs `csv`: a file of sensor coordinates")
        return self


class TrainingConfig(Section):
    """What all three stages share: optimizer, budget and early stopping."""

    lr: Rate = Field(1e-4, description="peak learning rate of AdamW")
    weight_decay: Annotated[float, Field(ge=0)] = Field(0.0, description="AdamW's decoupled weight decay")
    warmup_steps: NonNegative = Field(100, description="steps of linear warm-up")
    schedule: Literal["cosine", "constant"] = Field("cosine", description="learning rate after the warm-up")
    max_steps: NonNegative = Field(
        20_000, description="optimizer steps; a budget in steps keeps runs reproducible; 0: the weights as they begin"
    )
    val_every: Count = Field(250, description="steps between validations")
    patience: Count = Field(300, description="early stopping: validations without improvement")
    accum_grads: Count = Field(1, description="batches accumulated for one optimizer step")
    grad_clip: Rate = Field(1.0, description="largest norm of the gradient")
    precision: Literal["auto", "32-true", "bf16-mixed"] = Field(
        "auto",
        description="auto: bf16-mixed where the device is faster in bf16 (of a CPU: measured), else 32-true",
    )


class Stage1Config(TrainingConfig):
    """Sparse and semi-sparse encoder with the coordinate decoder."""

    modes: NonNegative = Field(
        0,
        description="POD modes whose coefficients, as the readings tell them, are the latents; 0: the paper's encoder",
    )
    examples: NonNegative = Field(
        3000,
        description="with modes: training frames that the estimate learns from what the linear one leaves; 0: linear",
    )
    noise: Annotated[float, Field(ge=0)] = Field(
        0.0, description="with modes: std of the readings' errors, in units of the anomalies' std (`basis`)"
    )
    parameters: Annotated[tuple[str, ...], AfterValidator(each_once), "NAME,..."] = Field(
        (),
        description="with modes: parameters of a trajectory that are known when it is read (inflow speed, burner "
        "power), the same for a flow and its mirror image; none named: none",
    )
    complete: Literal["projection", "sensors"] = Field(
        "projection",
        description="with modes: complete latents are of the dense field, or estimated from the semi-sparse sensors",
    )
    space_bands: Count = Field(32, description="sine-cosine frequencies per dimension")
    enc_preproc_ch: Count = Field(48, description="size of the linear layer on the inputs (value + position)")
    num_latents: Count = Field(256, description="length of the learned query array Q_in")
    enc_num_latent_channels: Count = Field(48, description="channels of Q_in")
    num_layers: Count = Field(6, description="encoder blocks; the first has its own weights, the others share weights")
    num_cross_attention_heads: Count = Field(2, description="heads of every cross-attention")
    num_self_attention_heads: Count = Field(2, description="heads of every self-attention")
    num_self_attention_layers_per_block: Count = Field(2, description="self-attention layers per block")
    dec_preproc_ch: Count = Field(48, description="size of the linear layer on the decoder's queries")
    dec_num_latent_channels: Count = Field(48, description="channels of the decoder")
    mlp_ratio: Count = Field(1, description="width of the feed-forward layers, as a multiple of their channels")
    batch_frames: Count = Field(64, description="frames per batch")
    batch_pixels: Count = Field(2048, description="points per frame at which the loss is computed")
    training_frames: Count | None = Field(None, description="frames to use of each training trajectory; null: all")
    consecutive_train: bool = Field(False, description="with training_frames: consecutive frames, else random ones")
    warm_start: bool = Field(
        False, description="start the sparse encoder from the semi-sparse one, so that both share one latent space"
    )
    warm_steps: Count | None = Field(
        None, description="optimizer steps of an encoder that starts from another one; null: max_steps"
    )
    symmetries: Symmetries = Symmetries()

    @model_validator(mode="after")
    def _nothing_to_warm(self) -> Self:
        if self.modes and self.warm_start:
            raise ValueError(f"warm_start=true has no use with modes={self.modes}: nothing is trained from weights")
        return self

    @model_validator(mode="after")
    def _parameters_have_examples(self) -> Self:
        if self.parameters and not (self.modes and self.examples):
            raise ValueError(
                f"parameters={','.join(self.parameters)} has no use with modes={self.modes}, examples={self.examples}: "
                "what parameters tell is learned from examples, in coefficients of modes"
            )
        return self

    @model_validator(mode="after")
    def _heads_divide_channels(self) -> Self:
        for heads in ("num_cross_attention_heads", "num_self_attention_heads"):
            for channels in ("enc_num_latent_channels", "dec_num_latent_channels"):
                if heads.startswith("num_self") and channels.startswith("dec"):
                    continue
                if getattr(self, channels) % getattr(self, heads):
                    raise ValueError(
                        f"{channels}={getattr(self, channels)} must be a multiple of {heads}={getattr(self, heads)}"
                    )
        return self


class Stage2Config(TrainingConfig):
    """The tokenizer: sparse latents through a discrete bottleneck to complete latents."""

    tokenizer: Literal["conv", "attention", "groups"] = Field(
        "attention",
        description="conv: latents as a square image, two stride-2 convolutions (the release); "
        "attention: tokens_per_frame learned queries pool the latents; the decoder mirrors this; "
        "groups: POD coefficients in groups of equal bits, each with codes of its own by k-means (needs stage1.modes)",
    )
    tokens_per_frame: Count = Field(16, description="tokens per frame (conv: must be num_latents / 16)")
    quantizer: Literal["vq", "rvq", "fsq"] = Field(
        "rvq", description="plain VQ; residual VQ; finite scalar quantization"
    )
    num_quantizers: Count = Field(4, description="residual levels of rvq (1 for the others)")
    num_vq_embeddings: Annotated[int, Field(ge=2)] = Field(256, description="codes per level")
    vq_embedding_dim: Count = Field(512, description="channels of each code (groups: as many as the widest has)")
    beam: Count = Field(4, description="groups: partial sums of codes that are kept when a token is coded; 1: greedy")
    commitment_cost: Annotated[float, Field(ge=0)] = Field(0.25, description="weight of the commitment loss")
    num_hiddens: Count = Field(2048, description="width of the tokenizer's hidden layers")
    continuous_steps: NonNegative = Field(
        0, description="steps of training without quantization before the codebook is initialised by k-means"
    )
    field_weight: Annotated[float, Field(ge=0)] = Field(
        0.0, description="weight of the decoded field's error relative to that of the latents; 0: as in the paper"
    )
    batch_frames: Count = Field(128, description="frames per batch")
    batch_pixels: Count = Field(512, description="points per frame at which the decoded field's error is computed")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tokenizer != "groups" and self.continuous_steps >= self.max_steps:
            raise ValueError(
                f"continuous_steps={self.continuous_steps} must be less than max_steps={self.max_steps}, "
                "or the codebook is never initialised"
            )
        if self.tokenizer == "attention" and self.num_hiddens % 4:
            raise ValueError(f"num_hiddens={self.num_hiddens} must be a multiple of 4, its attention heads")
        if self.tokenizer == "groups" and self.quantizer == "fsq":
            raise ValueError("quantizer=fsq does not go with tokenizer=groups: use rvq, or vq for one level")
        return self


class Stage3Config(TrainingConfig):
    """The GPT over code indices."""

    prediction: Literal["next_frame", "next_token"] = Field(
        "next_frame", description="next_frame: block-causal, all tokens of a frame at once; next_token: as in the paper"
    )
    targets: Literal["semi_sparse", "sparse"] = Field(
        "semi_sparse", description="codes that follow the sparse prompt: the teacher's or the sparse encoder's"
    )
    time_transformer_layers: Count = Field(12, description="layers")
    time_transformer_heads: Count = Field(8, description="attention heads")
    time_transformer_dim: Count = Field(512, description="width")
    dropout: Fraction = Field(0.0, description="dropout in attention and feed-forward layers")
    token_noise: Fraction = Field(
        0.0, description="fraction of input tokens replaced by random codes in training, against error accumulation"
    )
    code_noise: Annotated[float, Field(ge=0)] = Field(
        0.0,
        description="noise that is added to the unquantized tokens in training before they are coded anew, in units of "
        "the quantization error's std; 0: the codes of the dump",
    )
    first_guess: Literal["none", "regression"] = Field(
        "none",
        description="regression: the chances of codes begin as a Gaussian about kernel regression from the readings to "
        "the coefficients at each lead time (needs stage2.tokenizer=groups)",
    )
    guess_examples: Annotated[int, Field(ge=2)] = Field(
        6000, description="with first_guess=regression: windows of the training flows that it learns from"
    )
    refine_steps: NonNegative = Field(
        0,
        description="with first_guess=regression: optimizer steps of a U-Net that corrects the fields of the first "
        "guess, before the GPT is trained; 0: none (needs points on a grid)",
    )
    refine_width: Annotated[int, Field(ge=4, multiple_of=4)] = Field(
        32, description="its channels on the full grid; four times as many on the coarse ones"
    )
    refine_windows: Count = Field(12, description="windows of training flows in each of its steps")
    refine_lr: Rate = Field(2e-3, description="its peak learning rate")
    observed_frames: Count = Field(
        1,
        description="observed frames, at most, that forecasts are trained for: this number, a third of it, and so on "
        "down to 1, mixed",
    )
    stage2_frames: Annotated[int, Field(ge=2)] = Field(
        21, description="complete frames of a training sequence, from the last observed one on"
    )
    freeze_start_on_0: int = Field(-1, description="0 or above: every sequence starts at this frame; -1: anywhere")
    max_X: NonNegative = Field(0, description="latest start frame of a sequence; 0: no limit")
    batch_frames: Count = Field(672, description="frames per batch: batch_frames // stage2_frames sequences")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.time_transformer_dim % (2 * self.time_transformer_heads):  # rotary embeddings rotate pairs of channels
            raise ValueError(
                f"time_transformer_dim={self.time_transformer_dim} must be a multiple of twice "
                f"time_transformer_heads={self.time_transformer_heads}"
            )
        if self.refine_steps and self.first_guess == "none":
            raise ValueError(
                "refine_steps: there is no first guess to correct: set first_guess to regression, or it to 0"
            )
        if self.batch_frames < self.stage2_frames:
            raise ValueError(f"batch_frames={self.batch_frames} must be at least stage2_frames={self.stage2_frames}")
        return self
