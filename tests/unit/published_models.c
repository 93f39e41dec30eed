/* Models that people have, from scratch: an architecture with their sizes as keys is what their config.json says, has as many
 * parameters as was published, and is written as the same config.json. */
#include "formats/hf.h"
#include "support/tests.h"
#include "train/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct published {
    const char *name;
    size_t n_parameters; /* a tied embedding counts once */
    const char *keys[16];
    const char *config; /* what of their config.json concerns sizes and numbers */
} published;

static const published models[] = {
    {"GPT-2 124M",
     124439808,
     {"architecture=gpt2", "n_head=12", "vocab_size=50257"}, /* its other sizes are what the keys begin with */
     "{'model_type':'gpt2','n_embd':768,'n_layer':12,'n_head':12,'n_positions':1024,'n_ctx':1024,'vocab_size':50257,"
     "'activation_function':'gelu_new','layer_norm_epsilon':1e-05}"},
    {"TinyLlama 1.1B",
     1100048384,
     {"architecture=llama", "model_dim=2048", "n_layer=22", "n_head=32", "n_kv_head=4", "mlp_dim=5632", "vocab_size=32000",
      "sequence_length=2048", "norm_eps=1e-5"},
     "{'model_type':'llama','hidden_size':2048,'num_hidden_layers':22,'num_attention_heads':32,'num_key_value_heads':4,"
     "'intermediate_size':5632,'vocab_size':32000,'max_position_embeddings':2048,'rms_norm_eps':1e-05,'rope_scaling':null,"
     "'hidden_act':'silu','tie_word_embeddings':false,'torch_dtype':'float32'}"},
    {"SmolLM2 135M",
     134515008,
     {"architecture=llama", "model_dim=576", "n_layer=30", "n_head=9", "n_kv_head=3", "mlp_dim=1536", "vocab_size=49152",
      "sequence_length=8192", "norm_eps=1e-5", "rope_theta=100000", "tie_embeddings=true"},
     "{'model_type':'llama','hidden_size':576,'num_hidden_layers':30,'num_attention_heads':9,'num_key_value_heads':3,"
     "'intermediate_size':1536,'vocab_size':49152,'max_position_embeddings':8192,'rms_norm_eps':1e-05,'rope_theta':100000,"
     "'hidden_act':'silu','attention_bias':false,'tie_word_embeddings':true,'torch_dtype':'bfloat16'}"},
    {"Llama 3.2 1B",
     1235814400,
     {"architecture=llama", "model_dim=2048", "n_layer=16", "n_head=32", "n_kv_head=8", "mlp_dim=8192", "vocab_size=128256",
      "sequence_length=131072", "norm_eps=1e-5", "rope_theta=500000", "rope_scaling=llama3:32,1,4,8192", "tie_embeddings=true"},
     "{'model_type':'llama','hidden_size':2048,'num_hidden_layers':16,'num_attention_heads':32,'num_key_value_heads':8,"
     "'head_dim':64,'intermediate_size':8192,'vocab_size':128256,'max_position_embeddings':131072,'rms_norm_eps':1e-05,"
     "'rope_theta':500000.0,'rope_scaling':{'factor':32.0,'high_freq_factor':4.0,'low_freq_factor':1.0,"
     "'original_max_position_embeddings':8192,'rope_type':'llama3'},'hidden_act':'silu','tie_word_embeddings':true}"},
    {"Mistral 7B",
     7241732096,
     {"architecture=mistral", "model_dim=4096", "n_layer=32", "n_head=32", "n_kv_head=8", "mlp_dim=14336", "vocab_size=32000",
      "sequence_length=32768", "norm_eps=1e-5", "attention_window=4096"},
     "{'model_type':'mistral','hidden_size':4096,'num_hidden_layers':32,'num_attention_heads':32,'num_key_value_heads':8,"
     "'intermediate_size':14336,'vocab_size':32000,'max_position_embeddings':32768,'rms_norm_eps':1e-05,'rope_theta':10000.0,"
     "'sliding_window':4096,'hidden_act':'silu','tie_word_embeddings':false}"},
    {"Qwen2.5 0.5B",
     494032768,
     {"architecture=qwen2", "model_dim=896", "n_layer=24", "n_head=14", "n_kv_head=2", "mlp_dim=4864", "vocab_size=151936",
      "sequence_length=32768", "norm_eps=1e-6", "rope_theta=1000000", "tie_embeddings=true"},
     "{'model_type':'qwen2','hidden_size':896,'num_hidden_layers':24,'num_attention_heads':14,'num_key_value_heads':2,"
     "'intermediate_size':4864,'vocab_size':151936,'max_position_embeddings':32768,'rms_norm_eps':1e-06,'rope_theta':1000000.0,"
     "'sliding_window':32768,'use_sliding_window':false,'max_window_layers':24,'hidden_act':'silu','tie_word_embeddings':true}"},
    {"Qwen3 0.6B",
     596049920,
     {"architecture=qwen3", "model_dim=1024", "n_layer=28", "n_head=16", "n_kv_head=8", "head_dim=128", "mlp_dim=3072",
      "vocab_size=151936", "sequence_length=40960", "norm_eps=1e-6", "rope_theta=1000000", "tie_embeddings=true"},
     "{'model_type':'qwen3','hidden_size':1024,'num_hidden_layers':28,'num_attention_heads':16,'num_key_value_heads':8,"
     "'head_dim':128,'intermediate_size':3072,'vocab_size':151936,'max_position_embeddings':40960,'rms_norm_eps':1e-06,"
     "'rope_theta':1000000,'rope_scaling':null,'sliding_window':null,'use_sliding_window':false,'max_window_layers':28,"
     "'attention_bias':false,'hidden_act':'silu','tie_word_embeddings':true}"},
    {"Pythia 160M",
     162322944,
     {"architecture=gpt_neox", "n_head=12", "sequence_length=2048"},
     "{'model_type':'gpt_neox','hidden_size':768,'num_hidden_layers':12,'num_attention_heads':12,'intermediate_size':3072,"
     "'vocab_size':50304,'max_position_embeddings':2048,'layer_norm_eps':1e-05,'rotary_pct':0.25,'rotary_emb_base':10000,"
     "'use_parallel_residual':true,'hidden_act':'gelu','tie_word_embeddings':false}"},
    {"Gemma 2B",
     2506172416,
     {"architecture=gemma", "model_dim=2048", "n_layer=18", "n_head=8", "n_kv_head=1", "head_dim=256", "mlp_dim=16384",
      "vocab_size=256000", "sequence_length=8192"},
     "{'model_type':'gemma','hidden_size':2048,'num_hidden_layers':18,'num_attention_heads':8,'num_key_value_heads':1,"
     "'head_dim':256,'intermediate_size':16384,'vocab_size':256000,'max_position_embeddings':8192,'rms_norm_eps':1e-06,"
     "'rope_theta':10000.0,'hidden_act':'gelu','attention_bias':false}"},
};

static void must(dn_status status, const char *name)
{
    if (status != DN_OK)
        fail_msg("%s: %s", name, dn_error_message());
}

/* By its config.json, or by keys. */
static dn_plan plan_of(const published *m, bool by_file)
{
    dn_config config;
    dn_plan plan;
    char text[1024];
    dn_config_init(&config);
    snprintf(text, sizeof text, "%s", m->config);
    for (char *quote = text; (quote = strchr(quote, '\''));)
        *quote = '"';
    if (by_file)
        must(dn_hf_parse_config(text, strlen(text), m->name, &config), m->name);
    for (size_t i = 0; !by_file && m->keys[i]; i++)
        must(dn_config_set(&config, m->keys[i]), m->name);
    if (by_file) /* it says for how many positions the model is */
        config.sequence_length = config.max_positions;
    config.batch_size = config.device_batch_size = 1;
    must(dn_plan_make(&config, 1, &plan), m->name);
    return plan;
}

static void keys_are_the_published_model(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        const dn_plan by_keys = plan_of(&models[i], false), by_file = plan_of(&models[i], true);
        char *one = dn_hf_write_config(&by_keys.spec, DN_FOREIGN_BF16), *other = dn_hf_write_config(&by_file.spec, DN_FOREIGN_BF16);
        if (by_keys.n_elements != models[i].n_parameters || by_file.n_elements != models[i].n_parameters)
            fail_msg("%s: %zu parameters by keys, %zu by config.json, published are %zu", models[i].name, by_keys.n_elements,
                     by_file.n_elements, models[i].n_parameters);
        if (!one || !other || strcmp(one, other) != 0)
            fail_msg("%s: written by keys as\n%s\nand by config.json as\n%s", models[i].name, one, other);
        free(one);
        free(other);
    }
}

TESTS(published_models)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_are_the_published_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
